import { beforeEach, describe, expect, test } from "vitest";
import { SignsOfLife } from "../../../../src/transport/builtin/signs-of-life.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

describe("signs of life", () => {
  const SILENCE = 15_000;
  let clock: ManualClock;
  let signs: SignsOfLife;
  let heard: number;
  let asked: number;
  let lost: number;

  beforeEach(() => {
    clock = new ManualClock();
    [heard, asked, lost] = [0, 0, 0];
    signs = new SignsOfLife({ heard: () => heard, ask: () => asked++, lost: () => lost++, clock });
  });

  test("are not looked for while nothing is expected: an idle connection has no timer", () => {
    const expected = signs.expected();
    expect(clock.timers).toBe(1);
    expected[Symbol.dispose]();
    expected[Symbol.dispose]();
    expect(clock.timers).toBe(0);
  });

  test("are expected as long as anybody does", () => {
    const both = [signs.expected(), signs.expected()];
    both[0]![Symbol.dispose]();
    both[0]![Symbol.dispose]();
    expect(clock.timers).toBe(1);
    both[1]![Symbol.dispose]();
    expect(clock.timers).toBe(0);
  });

  test("are asked for after each silence; without an answer to three the host is lost, once", () => {
    using _ = signs.expected();
    clock.advance(3 * SILENCE);
    expect([asked, lost]).toEqual([3, 0]);
    clock.advance(10 * SILENCE);
    expect([asked, lost]).toEqual([3, 1]);
  });

  test("are all that the host says: who speaks is not asked", () => {
    using _ = signs.expected();
    for (let count = 0; count < 20; count++) {
      heard++;
      clock.advance(SILENCE);
    }
    expect([asked, lost]).toEqual([0, 0]);
    clock.advance(4 * SILENCE);
    expect([asked, lost]).toEqual([3, 1]);
  });
});
