import { expect, test } from "vitest";
import { deskOf, type Site } from "../../../src/http/site.ts";

function whyNot(parts: Partial<Site>): unknown {
  try {
    return deskOf({ desk: () => undefined, ...parts } as Site);
  } catch (error) {
    return error;
  }
}

test("a process that starts says so, and not that another one leads", () => {
  expect(whyNot({ starting: () => true })).toMatchObject({
    statusCode: 503,
    message: "fssync is starting",
    headers: { "retry-after": "1" },
  });
  const follows = { statusCode: 503, message: expect.stringContaining("does not lead") as string };
  expect(whyNot({ starting: () => false })).toMatchObject(follows);
  expect(whyNot({})).toMatchObject(follows);
});
