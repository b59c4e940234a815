import { describe, expect, test } from "vitest";
import { markNow, RunningTerm } from "../../../src/kubernetes/term.ts";
import { ManualClock } from "../../support/manual-clock.ts";

/** A clock whose machine can sleep: the wall goes on, timers and the monotonic clock do not. */
class SleepyClock extends ManualClock {
  #slept = 0;

  override now(): number {
    return super.now() + this.#slept;
  }

  machineSlept(milliseconds: number): void {
    this.#slept += milliseconds;
  }
}

function begin() {
  const clock = new SleepyClock();
  const term = new RunningTerm({ clock, deadline: 10_000, acquired: markNow(clock) });
  return { clock, term };
}

describe("a term", () => {
  test("lasts until the deadline, counted from the start of the last request that renewed", () => {
    const { clock, term } = begin();
    clock.advance(4_000);
    const start = markNow(clock);
    clock.advance(3_000);
    let renewals = 0;
    term.onRenewed(() => renewals++);
    term.renewed(start);
    expect(renewals).toBe(1);
    expect(term.remaining()).toBe(7_000);
    clock.advance(6_999);
    expect(term.valid()).toBe(true);
    expect(term.signal.aborted).toBe(false);
    clock.advance(1);
    expect(term.signal.aborted).toBe(true);
    expect(term.valid()).toBe(false);
    expect(term.remaining()).toBe(0);
    expect(clock.timers).toBe(0);
  });

  test("a machine that slept finds it over at the next look, and whoever asks finds it at once", () => {
    const looked = begin();
    looked.clock.machineSlept(60_000);
    looked.clock.advance(500);
    expect(looked.term.signal.aborted).toBe(true);
    const asked = begin();
    asked.clock.machineSlept(60_000);
    expect(asked.term.valid()).toBe(false);
    expect(asked.term.signal.aborted).toBe(true);
  });

  test("a renewal that is known only after the end does not bring it back", () => {
    const { clock, term } = begin();
    clock.advance(9_000);
    const start = markNow(clock);
    clock.machineSlept(2_000);
    term.renewed(start);
    expect(term.valid()).toBe(false);
  });

  test("a lost one is over at once and leaves no timer, as does one that is given up", () => {
    const { clock, term } = begin();
    term.lose();
    expect([term.signal.aborted, term.valid(), term.remaining(), clock.timers]).toEqual([true, false, 0, 0]);
    const other = begin();
    other.term[Symbol.dispose]();
    expect([other.term.signal.aborted, other.clock.timers]).toEqual([false, 0]);
  });
});
