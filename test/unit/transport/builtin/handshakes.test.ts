import { setImmediate } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { Handshakes } from "../../../../src/transport/builtin/handshakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

describe("handshakes", () => {
  const never = new AbortController().signal;
  let clock: ManualClock;
  let handshakes: Handshakes;
  let begun: number[];

  beforeEach(() => {
    clock = new ManualClock();
    handshakes = new Handshakes(clock);
    begun = [];
  });

  function begin(number: number, signal = never): Promise<unknown> {
    const beginning = handshakes.begin(signal).then(() => begun.push(number));
    return beginning.catch((error: unknown) => error);
  }

  async function pass(milliseconds: number): Promise<void> {
    clock.advance(milliseconds);
    for (let turn = 0; turn < 5; turn++) await setImmediate();
  }

  test("begin one by one, in the order in which they were asked for", async () => {
    for (const number of [1, 2, 3]) void begin(number);
    await pass(0);
    expect(begun).toEqual([1]);
    await pass(3);
    expect(begun).toEqual([1, 2]);
    await pass(3);
    expect(begun).toEqual([1, 2, 3]);
  });

  test("do not catch up on time in which the event loop was held", async () => {
    for (const number of [1, 2, 3, 4]) void begin(number);
    await pass(0);
    await pass(1000);
    expect(begun).toEqual([1, 2]);
  });

  test("are not at the same distance on all controllers", async () => {
    clock.chance = 0.9;
    for (const number of [1, 2]) void begin(number);
    await pass(0);
    await pass(4);
    expect(begun).toEqual([1]);
    await pass(1);
    expect(begun).toEqual([1, 2]);
  });

  test("that are given up take nobody's turn", async () => {
    const stop = new AbortController();
    void begin(1);
    const second = begin(2, stop.signal);
    void begin(3);
    await pass(0);
    stop.abort();
    expect(await second).toMatchObject({ reason: "Interrupted" });
    await pass(3);
    expect(begun).toEqual([1, 3]);
    expect(await begin(4, AbortSignal.abort())).toMatchObject({ reason: "Interrupted" });
  });

  test("of hosts that have answered are 64 at a time; who leaves makes room for one, however often it says so", async () => {
    const places: Disposable[] = [];
    for (let count = 0; count < 70; count++) void handshakes.answered(never).then((place) => places.push(place));
    await pass(0);
    expect(places).toHaveLength(64);
    places[0]![Symbol.dispose]();
    places[0]![Symbol.dispose]();
    await pass(0);
    expect(places).toHaveLength(65);
    for (const place of places) place[Symbol.dispose]();
    await pass(0);
    expect(places).toHaveLength(70);
  });

  test("of hosts that answered and then hang hold up others for a second", async () => {
    const places: Disposable[] = [];
    for (let count = 0; count < 70; count++) void handshakes.answered(never).then((place) => places.push(place));
    await pass(0);
    await pass(900);
    expect(places).toHaveLength(64);
    await pass(100);
    expect(places).toHaveLength(70);
  });
});
