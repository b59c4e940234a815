import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import type { Feed } from "../../../../src/http/watch/feed.ts";
import { Session } from "../../../../src/http/watch/session.ts";
import type { Topic } from "../../../../src/http/watch/topics.ts";
import { quiet, recordedLog } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const MINUTE = 60_000;

/** A client's end of a stream; it takes every piece at once unless told otherwise. */
class FakeResponse extends EventEmitter {
  text = "";
  destroyed = false;
  ended = false;
  /** Whether pieces stay on their way. */
  deaf = false;
  #taken: (() => void)[] = [];

  write(chunk: Buffer, taken: () => void): boolean {
    this.text += chunk.toString();
    if (this.deaf) this.#taken.push(taken);
    else queueMicrotask(taken);
    return true;
  }

  /** Takes the piece that is on its way. */
  take(): void {
    for (const taken of this.#taken.splice(0)) taken();
  }

  end(): void {
    this.ended = true;
    if (!this.deaf) this.leave();
  }

  destroy(): void {
    this.leave();
  }

  leave(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }

  /** Names of events so far, comments as `:`. */
  get told(): string[] {
    return [...this.text.matchAll(/^(?:event: (\w+)|(:) heartbeat)$/gm)].map(([, event, comment]) => event ?? comment!);
  }
}

function setUp() {
  const clock = new ManualClock();
  const items = new Map<string, string>([["a", "1"]]);
  const seen = { looks: 0, disposed: 0, over: 0, holds: true };
  const gate = { admits: async () => true, asked: 0 };
  const topic: Topic<{ text: string }> = {
    words: { whole: JSON.stringify, key: JSON.stringify },
    look: async (feed: Feed<{ text: string }>) => {
      seen.looks += 1;
      for (const [key, text] of items) feed.put(key, { text });
      items.clear();
    },
    [Symbol.dispose]: () => void (seen.disposed += 1),
  };
  const { log, lines } = recordedLog();
  const over = () => void (seen.over += 1);
  const session = new Session({ topic, holds: () => seen.holds, over, clock, log });
  const ran = session.run();
  const join = async () => {
    const response = new FakeResponse();
    const admits = () => {
      gate.asked += 1;
      return gate.admits();
    };
    await session.add(response as unknown as ServerResponse, () => true, admits);
    await quiet();
    return response;
  };
  /** Time passes as it does: in small steps, with everything that falls due. */
  const pass = async (milliseconds: number, step = 250) => {
    for (let passed = 0; passed < milliseconds; passed += step) {
      clock.advance(step);
      await quiet();
    }
  };
  return { clock, items, seen, gate, session, ran, join, pass, lines };
}

describe("a session", () => {
  test("looks four times a second while somebody watches, and not at all when nobody does", async () => {
    const { clock, seen, join, pass, ran } = setUp();
    const response = await join();
    const { looks } = seen;
    await pass(1000);
    expect(seen.looks).toBe(looks + 4);
    response.leave();
    await ran;
    await pass(1000);
    expect(seen).toMatchObject({ looks: looks + 4, disposed: 1, over: 1 });
    expect(clock.timers).toBe(0);
  });

  test("tells whoever comes in the middle what there is, and everybody the same from then on", async () => {
    const { items, join, pass } = setUp();
    const first = await join();
    items.set("b", "1");
    await pass(250);
    const second = await join();
    items.set("a", "2");
    await pass(250);
    expect(first.told).toEqual(["added", "synced", "added", "modified"]);
    expect(second.told).toEqual(["added", "added", "synced", "modified"]);
    const last = (response: FakeResponse) => response.text.split("\n\n").at(-2);
    expect(last(first)).toBe(last(second));
  });

  test("sends a heartbeat every 15 s, to a client that has nothing else on its way", async () => {
    const { join, pass } = setUp();
    const [response, other] = [await join(), await join()];
    other.deaf = true;
    await pass(45_000);
    expect(response.told).toEqual(["added", "synced", ":", ":", ":"]);
  });

  test("ends a client that does not take a piece within 15 s; the others hear of it nothing", async () => {
    const { items, join, pass } = setUp();
    const [response, other] = [await join(), await join()];
    response.deaf = true;
    items.set("a", "2");
    await pass(250);
    items.set("a", "3");
    await pass(14_500);
    expect(response.destroyed).toBe(false);
    await pass(1000);
    expect(response.destroyed).toBe(true);
    expect(response.told).toEqual(["added", "synced", "modified"]);
    expect(other.told.filter((told) => told !== ":")).toEqual(["added", "synced", "modified", "modified"]);
    expect(other.destroyed).toBe(false);
  });

  test("ends a client that is a minute behind, although it takes a piece now and then", async () => {
    const { items, join, pass } = setUp();
    const response = await join();
    response.deaf = true;
    const text = "x".repeat(70_000);
    for (let round = 0; round < 10 && !response.destroyed; round += 1) {
      for (let change = 0; change < 4; change += 1) items.set(`${round}-${change}`, text);
      await pass(10_000);
      response.take();
    }
    expect(response.destroyed).toBe(true);
    expect(response.told.filter((told) => told === "added").length).toBeGreaterThan(5);
  });

  test("asks again within 30 s whether a client may watch, and ends it in good order when it may not", async () => {
    const { gate, items, join, pass, lines } = setUp();
    const response = await join();
    await pass(30_000);
    expect(gate.asked).toBeGreaterThan(0);
    expect(response.ended).toBe(false);
    const { asked } = gate;
    gate.admits = async () => false;
    await pass(31_000);
    expect(gate.asked).toBe(asked + 1);
    expect(response.ended).toBe(true);
    items.set("b", "1");
    await pass(1000);
    expect(response.told.filter((told) => told !== ":")).toEqual(["added", "synced"]);
    expect(lines).toContainEqual(
      expect.objectContaining({ msg: "watchers were ended who may not watch any more", refused: 1 }),
    );
  });

  test("lets a client watch on while nobody can say whether it may", async () => {
    const { gate, join, pass } = setUp();
    const response = await join();
    gate.admits = async () => {
      throw new Error("the API server is away");
    };
    await pass(5 * MINUTE);
    expect(gate.asked).toBeGreaterThan(9);
    expect(response.ended).toBe(false);
  });

  test("lets no stream live for ever: its client shows anew who it is", async () => {
    const { join, pass } = setUp();
    const response = await join();
    await pass(29 * MINUTE, 10_000);
    expect(response.ended).toBe(false);
    await pass(31 * MINUTE, 10_000);
    expect(response.ended).toBe(true);
  });

  test("ends everybody in good order when there is nothing more to be told, a deaf client soon after", async () => {
    const { seen, join, pass, ran } = setUp();
    const [response, deaf] = [await join(), await join()];
    deaf.deaf = true;
    seen.holds = false;
    await pass(250);
    expect([response.ended, deaf.ended, deaf.destroyed]).toEqual([true, true, false]);
    expect(seen.over).toBe(1);
    await pass(16_000);
    expect(deaf.destroyed).toBe(true);
    await ran;
    expect(seen).toMatchObject({ over: 1, disposed: 1 });
  });

  test("forgets a client that left before there was anything to tell", async () => {
    const { session, seen, ran } = setUp();
    const response = new FakeResponse();
    const adding = session.add(
      response as unknown as ServerResponse,
      () => true,
      async () => true,
    );
    response.leave();
    await adding;
    await ran;
    expect(seen).toMatchObject({ over: 1, disposed: 1 });
    expect(response.text).toBe("");
  });
});
