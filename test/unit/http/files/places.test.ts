import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { Places } from "../../../../src/http/files/places.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const { signal } = new AbortController();

const sending = (until: AbortSignal, sent = () => 0) => ({ signal: until, sent });

function setUp({ limit = 1, waiting = 2 } = {}) {
  const clock = new ManualClock();
  const places = new Places({ limit, waiting, patience: 10_000, longest: 60_000, what: "archives", clock });
  return { clock, places };
}

describe("places", () => {
  test("are given in the order people came, each when one is free", async () => {
    const { places } = setUp();
    const order: number[] = [];
    const first = await places.take("a", signal);
    const second = places.take("a", signal).then((place) => (order.push(2), place));
    const third = places.take("a", signal).then((place) => (order.push(3), place));
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    expect(order).toEqual([2, 3]);
    (await places.take("a", signal))[Symbol.dispose]();
  });

  test("are refused with 503 when too many wait, or one has waited too long", async () => {
    const { places, clock } = setUp({ waiting: 1 });
    const first = await places.take("a", signal);
    const waits = places.take("a", signal);
    await expect(places.take("a", signal)).rejects.toMatchObject({ statusCode: 503, headers: { "retry-after": "10" } });
    const refused = expect(waits).rejects.toMatchObject({ statusCode: 503 });
    clock.advance(10_000);
    // In the same turn: who was refused does not get it.
    first[Symbol.dispose]();
    await refused;
    (await places.take("a", signal))[Symbol.dispose]();
  });

  test("are not kept for who has left", async () => {
    const { places } = setUp();
    const first = await places.take("a", signal);
    const left = new AbortController();
    const refused = expect(places.take("a", left.signal)).rejects.toMatchObject({ statusCode: 408 });
    left.abort();
    first[Symbol.dispose]();
    await refused;
    await expect(places.take("a", left.signal)).rejects.toMatchObject({ statusCode: 408 });
    (await places.take("a", signal))[Symbol.dispose]();
  });

  test("are free again when the stream closes, and a stream that is never taken is ended", async () => {
    const { places, clock } = setUp();
    const stream = new PassThrough();
    stream.write("something");
    await places.hold(await places.take("a", signal), stream, sending(signal));
    const next = places.take("a", signal);
    stream.destroy();
    const slow = new PassThrough();
    slow.write("something");
    slow.on("error", () => undefined);
    await places.hold(await next, slow, sending(signal));
    clock.advance(60_000);
    expect(slow.destroyed).toBe(true);
    (await places.take("a", signal))[Symbol.dispose]();
  });

  test("are free again when there was trouble before the first byte, or nobody waits for it any more", async () => {
    const { places } = setUp();
    const broken = new PassThrough();
    const held = places.hold(await places.take("a", signal), broken, sending(signal));
    broken.destroy(new Error("git was killed"));
    await expect(held).rejects.toThrow("git was killed");
    const left = new AbortController();
    const silent = new PassThrough();
    const waits = places.hold(await places.take("a", signal), silent, sending(left.signal));
    left.abort();
    await expect(waits).rejects.toMatchObject({ statusCode: 408 });
    expect(silent.destroyed).toBe(true);
    (await places.take("a", signal))[Symbol.dispose]();
  });

  test("are never all one caller's, and go to others first while they wait", async () => {
    const { places } = setUp({ limit: 4, waiting: 10 });
    const order: string[] = [];
    const later = (who: string) => places.take(who, signal).then((place) => (order.push(who), place));
    const first = await places.take("a", signal);
    const second = await places.take("a", signal);
    await places.take("a", signal);
    const more = later("a");
    const other = await places.take("b", signal);
    const another = later("b");
    first[Symbol.dispose]();
    (await another)[Symbol.dispose]();
    second[Symbol.dispose]();
    await more;
    other[Symbol.dispose]();
    expect(order).toEqual(["b", "a"]);
  });

  test("are taken from who takes slowly, once somebody waits, and from nobody who takes fast", async () => {
    const { places, clock } = setUp({ limit: 2, waiting: 10 });
    let sent = 0;
    const open = async (who: string, bytes: () => number) => {
      const stream = new PassThrough();
      stream.write("something");
      await places.hold(await places.take(who, signal), stream, sending(signal, bytes));
      return stream;
    };
    const fast = await open("a", () => sent);
    const slow = await open("b", () => sent / 2);
    sent += 64 * 1024 * 30;
    clock.advance(30_000);
    expect([fast.destroyed, slow.destroyed]).toEqual([false, false]);
    const next = places.take("c", signal);
    expect([fast.destroyed, slow.destroyed]).toEqual([false, true]);
    (await next)[Symbol.dispose]();
  });

  test("are taken from who begins to take slowly while somebody waits", async () => {
    const { places, clock } = setUp();
    const stream = new PassThrough();
    stream.write("something");
    await places.hold(await places.take("a", signal), stream, sending(signal));
    clock.advance(25_000);
    const next = places.take("b", signal);
    clock.advance(5000);
    expect(stream.destroyed).toBe(true);
    (await next)[Symbol.dispose]();
  });
});
