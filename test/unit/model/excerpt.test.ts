import { expect, test } from "vitest";
import { excerpt } from "../../../src/model/excerpt.ts";

test.for([
  ["short", 5, "short"],
  ["longer", 5, "long…"],
  ["ab😀cd", 4, "ab…"],
  ["ab😀cd", 5, "ab😀…"],
  ["", 0, ""],
] as const)("%j in %i units is %j", ([text, length, wanted]) => {
  expect(excerpt(text, length)).toBe(wanted);
});
