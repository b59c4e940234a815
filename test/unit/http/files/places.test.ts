import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { Places } from "../../../../src/http/files/places.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const { signal } = new AbortController();

function setUp({ limit = 1, waiting = 2 } = {}) {
  const clock = new ManualClock();
  const places = new Places({ limit, waiting, patience: 10_000, longest: 60_000, what: "archives", clock });
  return { clock, places };
}

describe("places", () => {
  test("are given in the order people came, each when one is free", async () => {
    const { places } = setUp();
    const order: number[] = [];
    const first = await places.take(signal);
    const second = places.take(signal).then((place) => (order.push(2), place));
    const third = places.take(signal).then((place) => (order.push(3), place));
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    expect(order).toEqual([2, 3]);
    (await places.take(signal))[Symbol.dispose]();
  });

  test("are refused with 503 when too many wait, or one has waited too long", async () => {
    const { places, clock } = setUp({ waiting: 1 });
    const first = await places.take(signal);
    const waits = places.take(signal);
    await expect(places.take(signal)).rejects.toMatchObject({ statusCode: 503, headers: { "retry-after": "10" } });
    const refused = expect(waits).rejects.toMatchObject({ statusCode: 503 });
    clock.advance(10_000);
    // In the same turn: who was refused does not get it.
    first[Symbol.dispose]();
    await refused;
    (await places.take(signal))[Symbol.dispose]();
  });

  test("are not kept for who has left", async () => {
    const { places } = setUp();
    const first = await places.take(signal);
    const left = new AbortController();
    const refused = expect(places.take(left.signal)).rejects.toMatchObject({ statusCode: 408 });
    left.abort();
    first[Symbol.dispose]();
    await refused;
    await expect(places.take(left.signal)).rejects.toMatchObject({ statusCode: 408 });
    (await places.take(signal))[Symbol.dispose]();
  });

  test("are free again when the stream closes, and a stream that is never taken is ended", async () => {
    const { places, clock } = setUp();
    const stream = new PassThrough();
    stream.write("something");
    await places.hold(await places.take(signal), stream, signal);
    const next = places.take(signal);
    stream.destroy();
    const slow = new PassThrough();
    slow.write("something");
    slow.on("error", () => undefined);
    await places.hold(await next, slow, signal);
    clock.advance(60_000);
    expect(slow.destroyed).toBe(true);
    (await places.take(signal))[Symbol.dispose]();
  });

  test("are free again when there was trouble before the first byte, or nobody waits for it any more", async () => {
    const { places } = setUp();
    const broken = new PassThrough();
    const held = places.hold(await places.take(signal), broken, signal);
    broken.destroy(new Error("git was killed"));
    await expect(held).rejects.toThrow("git was killed");
    const left = new AbortController();
    const silent = new PassThrough();
    const waits = places.hold(await places.take(signal), silent, left.signal);
    left.abort();
    await expect(waits).rejects.toMatchObject({ statusCode: 408 });
    expect(silent.destroyed).toBe(true);
    (await places.take(signal))[Symbol.dispose]();
  });
});
