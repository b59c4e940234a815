import { expect, test } from "vitest";
import { failureAfter } from "../../../src/reconcile/failure.ts";
import { makeFailure } from "../../support/factories.ts";

const NO_SPACE = { reason: "NoSpace", message: "the disk is full" } as const;
const HELD = { reason: "PruneLimitExceeded", message: "deletes 9 of 10 files" } as const;

test("attempts in a row are counted", () => {
  const first = failureAfter(null, NO_SPACE, { at: 1 });
  expect(first).toEqual({ ...NO_SPACE, state: "Failed", at: 1, attempts: 1 });
  expect(failureAfter(first, NO_SPACE, { at: 2 })).toEqual({ ...first, at: 2, attempts: 2 });
});

test("a sync's failure after that of a look is a sync's failure, and the other way round", () => {
  const look = failureAfter(makeFailure(), NO_SPACE, { at: 2, verifying: true });
  expect(look).toMatchObject({ verifying: true, attempts: 2 });
  expect(failureAfter(look, NO_SPACE, { at: 3 })).not.toHaveProperty("verifying");
});

test("what is held did not fail anew, unless it was a look that was refused before", () => {
  const held = failureAfter(null, HELD, { at: 1 });
  expect(failureAfter(held, HELD, { at: 2 })).toBe(held);
  const look = failureAfter(null, HELD, { at: 1, verifying: true });
  expect(failureAfter(look, HELD, { at: 2 })).toMatchObject({ at: 2 });
  expect(failureAfter(look, HELD, { at: 2 })).not.toHaveProperty("verifying");
});
