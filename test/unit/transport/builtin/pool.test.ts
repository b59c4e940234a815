import { setImmediate } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { FssyncError } from "../../../../src/model/errors.ts";
import { hostKey, type Host } from "../../../../src/model/host.ts";
import { Pool, Unsent, type Lease, type Pooled } from "../../../../src/transport/builtin/pool.ts";

class FakeConnection implements Pooled {
  alive = true;
  end = Promise.withResolvers<void>();
  ended = this.end.promise;
  /** How it was ended by the pool. */
  how: "destroyed" | "disposed" | undefined;

  destroy(): void {
    this.how ??= "destroyed";
    this.die();
  }

  die(): void {
    this.alive = false;
    this.end.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.how ??= "disposed";
    this.die();
  }
}

interface Opening {
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly resolve: (connection: FakeConnection) => void;
  readonly reject: (error: Error) => void;
}

describe("the pool of connections", () => {
  const never = new AbortController().signal;
  let openings: Opening[];
  let opened: FakeConnection[];
  /** Whether connections open by themselves. */
  let atOnce: boolean;

  beforeEach(() => {
    openings = [];
    opened = [];
    atOnce = true;
  });

  function pool(limit = 100): Pool<FakeConnection> {
    const open = (at: Host, signal: AbortSignal): Promise<FakeConnection> => {
      const { promise, resolve, reject } = Promise.withResolvers<FakeConnection>();
      openings.push({ host: at, signal, resolve, reject });
      if (atOnce) resolve(made());
      return promise;
    };
    return new Pool({ limit, open });
  }

  function made(): FakeConnection {
    const connection = new FakeConnection();
    opened.push(connection);
    return connection;
  }

  function host(number: number): Host {
    const address = `10.0.0.${number}`;
    return { key: hostKey(address, 22), address, port: 22, user: "root", root: "/" };
  }

  /** A use that lasts until it is told to end. */
  function hold(of: Pool<FakeConnection>, at: Host, signal = never) {
    const end = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<Lease<FakeConnection>>();
    const done = of.with(at, signal, async (lease) => {
      begun.resolve(lease);
      await end.promise;
    });
    done.catch(begun.reject);
    begun.promise.catch(() => undefined);
    return { lease: begun.promise, end: end.resolve, done };
  }

  function use(of: Pool<FakeConnection>, at: Host): Promise<FakeConnection> {
    return of.with(at, never, (lease) => lease.on(async (connection) => connection));
  }

  test("keeps a host's connection for the next use", async () => {
    const one = pool();
    expect(await use(one, host(1))).toBe(await use(one, host(1)));
    expect(await use(one, host(2))).not.toBe(await use(one, host(1)));
    expect(one.size).toBe(2);
  });

  test("two who need a host at once share the opening; the first one's abort does not end it", async () => {
    atOnce = false;
    const one = pool();
    const hurried = new AbortController();
    const first = hold(one, host(1), hurried.signal);
    const second = hold(one, host(1));
    hurried.abort();
    await expect(first.done).rejects.toMatchObject({ reason: "Interrupted" });
    expect(openings).toHaveLength(1);
    expect(openings[0]!.signal.aborted).toBe(false);
    openings[0]!.resolve(made());
    await second.lease;
    second.end();
    await second.done;
    expect(await use(one, host(1))).toBe(opened[0]);
  });

  test("an opening that nobody waits for any more is ended, and what it opens is not kept", async () => {
    atOnce = false;
    const one = pool();
    const hurried = new AbortController();
    const only = hold(one, host(1), hurried.signal);
    hurried.abort();
    await expect(only.done).rejects.toMatchObject({ reason: "Interrupted" });
    expect(openings[0]!.signal.aborted).toBe(true);
    openings[0]!.resolve(made());
    await until(() => opened[0]!.how === "destroyed");
    expect(one.size).toBe(0);
  });

  test("who comes after an abort opens anew", async () => {
    atOnce = false;
    const one = pool();
    const hurried = new AbortController();
    const first = hold(one, host(1), hurried.signal);
    hurried.abort();
    await first.done.catch(() => undefined);
    const second = hold(one, host(1));
    expect(openings).toHaveLength(2);
    openings[1]!.resolve(made());
    await second.lease;
  });

  test("nothing is opened for work that was aborted before", async () => {
    const one = pool();
    const work = one.with(host(1), AbortSignal.abort(), async () => undefined);
    await expect(work).rejects.toMatchObject({ reason: "Interrupted" });
    expect(openings).toEqual([]);
  });

  test("a host that cannot be reached fails all who wait, and is tried anew by the next", async () => {
    atOnce = false;
    const one = pool();
    const both = [hold(one, host(1)), hold(one, host(1))];
    openings[0]!.reject(new FssyncError("ConnectRefused", "no"));
    for (const { done } of both) await expect(done).rejects.toMatchObject({ reason: "ConnectRefused" });
    expect(one.size).toBe(0);
    atOnce = true;
    expect(await use(one, host(1))).toBe(opened[0]);
  });

  test("a connection that dies while it is idle is forgotten at once", async () => {
    const one = pool();
    (await use(one, host(1))).die();
    expect(await use(one, host(1))).toBe(opened[1]);
    await until(() => one.size === 1);
  });

  test("beyond the limit the idle connection that was unused for longest is closed", async () => {
    const one = pool(2);
    for (const number of [1, 2, 1, 3]) await use(one, host(number));
    await until(() => one.size === 2);
    expect(opened.map(({ how }) => how)).toEqual([undefined, "disposed", undefined]);
  });

  test("when all are busy more are open, for as long as they are used", async () => {
    const one = pool(2);
    const uses = [1, 2, 3, 4].map((number) => hold(one, host(number)));
    for (const { lease } of uses) await lease;
    expect(one.size).toBe(4);
    for (const { end, done } of uses) {
      end();
      await done;
    }
    await until(() => one.size === 2);
    expect(opened.filter(({ how }) => how === undefined)).toHaveLength(2);
  });

  test("when file handles have run out idle connections are closed for a new one, and without any it is told", async () => {
    const one = pool();
    atOnce = false;
    const none = new FssyncError("ControllerExhausted", "EMFILE");
    const alone = hold(one, host(1));
    openings[0]!.reject(none);
    await expect(alone.done).rejects.toBe(none);
    atOnce = true;
    for (let number = 2; number < 22; number++) await use(one, host(number));
    atOnce = false;
    const next = hold(one, host(1));
    openings.at(-1)!.reject(none);
    await until(() => openings.length === 23);
    expect(opened.filter(({ how }) => how === "disposed")).toEqual(opened.slice(0, 10));
    openings.at(-1)!.resolve(made());
    await next.lease;
  });

  test("work that was not sent, for the connection was dead, goes once over a new one", async () => {
    const one = pool();
    await use(one, host(1));
    const over: FakeConnection[] = [];
    const result = await one.with(host(1), never, (lease) =>
      lease.on(async (connection) => {
        over.push(connection);
        if (connection === opened[0]) throw new Unsent(new FssyncError("ConnectionLost", "dead"));
        return "done";
      }),
    );
    expect(result).toBe("done");
    expect(over).toEqual(opened);
    expect(one.size).toBe(1);
  });

  test("a second one that is dead too is told, and so is a connection that was lost when the work had begun", async () => {
    const one = pool();
    for (const error of [new Unsent(new FssyncError("ConnectionLost", "")), new FssyncError("ConnectionLost", "")]) {
      let tries = 0;
      const work = one.with(host(1), never, (lease) =>
        lease.on(async () => {
          tries++;
          throw error;
        }),
      );
      await expect(work).rejects.toBe(error);
      expect(tries).toBe(error instanceof Unsent ? 2 : 1);
    }
  });

  test("retired, idle connections end at once and those in use after their use; new work opens new ones", async () => {
    const one = pool();
    const busy = hold(one, host(1));
    await busy.lease;
    await use(one, host(2));
    one.retireAll();
    await until(() => opened[1]!.how === "disposed");
    expect(opened[0]!.how).toBeUndefined();
    expect(await use(one, host(1))).toBe(opened[2]);
    busy.end();
    await busy.done;
    await until(() => opened[0]!.how === "disposed");
    expect(await use(one, host(1))).toBe(opened[2]);
  });

  test("only stale ones are retired: idle, busy and those that were being opened", async () => {
    const one = pool();
    const busy = hold(one, host(1));
    await busy.lease;
    await use(one, host(2));
    await use(one, host(3));
    atOnce = false;
    const opening = hold(one, host(4));
    const stale = () => [0, 1, 3].map((index) => opened[index]);
    await one.retire((each) => stale().includes(each));
    await until(() => opened[1]!.how === "disposed");
    openings[3]!.resolve(made());
    await opening.lease;
    for (const { end, done } of [busy, opening]) {
      end();
      await done;
    }
    await until(() => opened[0]!.how === "disposed" && opened[3]!.how === "disposed");
    atOnce = true;
    expect(await use(one, host(3))).toBe(opened[2]);
    for (const number of [1, 2, 4]) await use(one, host(number));
    expect(openings).toHaveLength(7);
  });

  test("thousands are retired with pauses, and none of them is used meanwhile", async () => {
    const one = pool(1000);
    for (let number = 0; number < 1000; number++) await use(one, host(number));
    one.retireAll();
    const ended = () => opened.filter(({ how }) => how !== undefined).length;
    expect(ended()).toBeLessThan(100);
    expect(await use(one, host(999))).toBe(opened[1000]);
    for (let turn = 0; turn < 1000 && ended() < 1000; turn++) await setImmediate();
    expect(ended()).toBe(1000);
    expect(opened[1000]!.how).toBeUndefined();
  });

  test("all are destroyed before it returns: idle, busy, retired and those being opened", async () => {
    const one = pool();
    const retired = hold(one, host(1));
    await retired.lease;
    one.retireAll();
    const busy = hold(one, host(2));
    await busy.lease;
    await use(one, host(3));
    atOnce = false;
    const waiting = hold(one, host(4));
    one.destroyAll();
    expect(opened.map(({ how }) => how)).toEqual(["destroyed", "destroyed", "destroyed"]);
    expect(openings[3]!.signal.aborted).toBe(true);
    openings[3]!.resolve(made());
    await until(() => opened[3]!.how === "destroyed");
    for (const { end } of [retired, busy, waiting]) end();
    await until(() => one.size === 0);
  });

  test("at the end nothing is open, in use or not", async () => {
    const one = pool();
    const busy = hold(one, host(1));
    await busy.lease;
    await use(one, host(2));
    await one.endAll();
    expect(opened.map(({ how }) => how)).toEqual(["disposed", "disposed"]);
    expect(one.size).toBe(0);
  });

  /** Some turns of the event loop are enough for anything that waits for nothing else. */
  async function until(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 20 && !condition(); turn++) await setImmediate();
    expect(condition()).toBe(true);
  }
});
