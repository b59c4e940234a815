import { expect, test } from "vitest";
import { hasAlready, strongEtag } from "../../../../src/http/files/etag.ts";

const ETAG = strongEtag("abc");

test.each([
  [`"abc"`, true],
  [`W/"abc"`, true],
  [` "x", "abc"`, true],
  [`"x",W/"abc","y"`, true],
  ["*", true],
  [" * ", true],
  [undefined, false],
  ["", false],
  ["abc", false],
  [`"ab"`, false],
  [`"abcd"`, false],
  [`"x, abc"`, false],
  [`"`.repeat(10_000), false],
])("If-None-Match: %s", (header, has) => {
  expect(hasAlready(header, ETAG)).toBe(has);
});
