import { expect, test } from "vitest";
import { SharedRefresh } from "../../../src/reconcile/shared-refresh.ts";
import { quiet } from "../../support/fakes.ts";

/** Looks that end when the test says so. */
function looks() {
  const begun: { readonly signal: AbortSignal; readonly end: () => void }[] = [];
  const refresh = new SharedRefresh((signal) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    begun.push({ signal, end: resolve });
    return promise;
  });
  return { begun, refresh };
}

const forever = new AbortController().signal;

test("those who come while one looks share the next look, which begins after they came", async () => {
  const { begun, refresh } = looks();
  const done: string[] = [];
  const join = (name: string) => refresh.join(forever).then(() => done.push(name));
  void join("a");
  await quiet();
  void join("b");
  void join("c");
  await quiet();
  expect([begun.length, done]).toEqual([1, []]);
  begun[0]!.end();
  await quiet();
  expect([begun.length, done]).toEqual([2, ["a"]]);
  begun[1]!.end();
  await quiet();
  expect([begun.length, done]).toEqual([2, ["a", "b", "c"]]);
});

test("a look goes on while anybody waits for it, and ends with the last who leaves", async () => {
  const { begun, refresh } = looks();
  const [one, other] = [new AbortController(), new AbortController()];
  const waiting = [refresh.join(one.signal), refresh.join(other.signal)];
  await quiet();
  one.abort();
  await waiting[0];
  await quiet();
  expect(begun[0]!.signal.aborted).toBe(false);
  other.abort();
  await waiting[1];
  expect(begun[0]!.signal.aborted).toBe(true);
});

test("a look that nobody waits for any more never begins, and does not keep the next from beginning", async () => {
  const { begun, refresh } = looks();
  void refresh.join(forever);
  await quiet();
  const left = new AbortController();
  const waiting = refresh.join(left.signal);
  left.abort();
  await waiting;
  void refresh.join(forever);
  begun[0]!.end();
  await quiet();
  expect(begun).toHaveLength(2);
  expect(begun[1]!.signal.aborted).toBe(false);
});

test("a look that fails fails those who wait for it alone", async () => {
  let fails = true;
  const refresh = new SharedRefresh(() => (fails ? Promise.reject(new Error("no")) : Promise.resolve()));
  await expect(refresh.join(forever)).rejects.toThrow("no");
  fails = false;
  await refresh.join(forever);
});
