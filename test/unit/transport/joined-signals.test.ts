import { expect, test } from "vitest";
import { JoinedSignals } from "../../../src/transport/joined-signals.ts";

test("abort when either does, with its reason", () => {
  for (const aborted of [0, 1]) {
    const sources = [new AbortController(), new AbortController()];
    const joined = new JoinedSignals().of(sources[0]!.signal, sources[1]!.signal);
    expect(joined.aborted).toBe(false);
    const reason = new Error("over");
    sources[aborted]!.abort(reason);
    expect([joined.aborted, joined.reason]).toEqual([true, reason]);
  }
});

test("are one for the same two, and another for others", () => {
  const [a, b, c] = Array.from({ length: 3 }, () => new AbortController().signal) as [
    AbortSignal,
    AbortSignal,
    AbortSignal,
  ];
  const signals = new JoinedSignals();
  expect(signals.of(a, b)).toBe(signals.of(a, b));
  expect(signals.of(a, c)).not.toBe(signals.of(a, b));
});

test("are others after a while, so that none has thousands of listeners", () => {
  const { signal } = new AbortController();
  const controller = new AbortController();
  const signals = new JoinedSignals();
  const given = Array.from({ length: 1000 }, () => signals.of(signal, controller.signal));
  expect(new Set(given).size).toBe(4);
  controller.abort();
  expect(given.every(({ aborted }) => aborted)).toBe(true);
});

test("that aborted stay so, and one of a new signal is not", () => {
  const [old, next, other] = [new AbortController(), new AbortController(), new AbortController()];
  const signals = new JoinedSignals();
  signals.of(other.signal, old.signal);
  old.abort();
  expect(signals.of(other.signal, old.signal).aborted).toBe(true);
  expect(signals.of(other.signal, next.signal).aborted).toBe(false);
});
