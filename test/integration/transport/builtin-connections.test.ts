import { createHash, randomBytes, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { asFssyncError, FssyncError } from "../../../src/model/errors.ts";
import { hostKey, type Host } from "../../../src/model/host.ts";
import type { Clock } from "../../../src/ports/clock.ts";
import type { ProcessResult } from "../../../src/transport/process.ts";
import { ALGORITHMS } from "../../../src/transport/builtin/algorithms.ts";
import { runCommand } from "../../../src/transport/builtin/command.ts";
import type { Connection } from "../../../src/transport/builtin/connection.ts";
import { Handshakes } from "../../../src/transport/builtin/handshakes.ts";
import { Names } from "../../../src/transport/builtin/names.ts";
import { parseIdentity } from "../../../src/transport/builtin/identity.ts";
import { attemptLogin } from "../../../src/transport/builtin/login.ts";
import { openConnection } from "../../../src/transport/builtin/opening.ts";
import { Pool, type Lease } from "../../../src/transport/builtin/pool.ts";
import { quote } from "../../../src/transport/rsync-args.ts";
import { BOUNDED, LEADER } from "../../../src/transport/session.ts";
import type { CommandOptions } from "../../../src/transport/ssh-client.ts";
import { startFleet, until, type Fleet, type FleetHost } from "../../support/fleet.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { freePort } from "../../support/fleet/ports.ts";
import { Sshd } from "../../support/fleet/sshd.ts";
import { Line } from "../../support/line.ts";
import { here, watchTurns } from "../../support/machine.ts";
import { StrangeHost } from "../../support/strange-host.ts";

const never = new AbortController().signal;

interface RunOptions extends CommandOptions {
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

describe("connections inside the process", () => {
  let fleet: Fleet;
  let machine: FleetHost;
  let open: AsyncDisposable[];

  beforeAll(async () => {
    fleet = await startFleet({ hosts: 1, kind: "ports" });
    machine = fleet.hosts[0]!;
  });
  afterAll(() => fleet[Symbol.asyncDispose]());

  beforeEach(() => void (open = []));
  afterEach(async () => {
    for (const each of open.toReversed()) await each[Symbol.asyncDispose]();
    await machine.forceCommand(undefined);
  });

  function asHost({ port }: { readonly port: number }): Host {
    return { key: hostKey("127.0.0.1", port), address: "127.0.0.1", port, user: fleet.user, root: "/" };
  }

  interface OpenOptions {
    readonly timeout?: number;
    readonly signal?: AbortSignal;
    readonly clock?: Clock;
    readonly check?: () => void;
    readonly hostKey?: () => Promise<void>;
    readonly handshakes?: Handshakes;
  }

  async function opened(
    to: { readonly port: number },
    {
      timeout = 5000,
      signal = never,
      clock = realClock,
      check = () => undefined,
      hostKey: checkKey = () => Promise.resolve(),
      handshakes = new Handshakes(clock),
    }: OpenOptions = {},
  ): Promise<Connection> {
    const identity = await parseIdentity({ text: readFileSync(fleet.identityFile, "utf8"), name: "key" });
    const connection = await openConnection({
      host: asHost(to),
      hostKeys: { algorithms: () => ["ssh-ed25519"], check: checkKey },
      login: (host) => attemptLogin({ identities: [identity], unusable: [] }, host),
      timeout,
      signal,
      names: new Names({ clock }),
      handshakes,
      check,
      clock,
    });
    open.push(connection);
    return connection;
  }

  async function line(to: { readonly port: number } = machine): Promise<Line> {
    const made = await new Line(to).open();
    open.push(made);
    return made;
  }

  /** An sshd with settings of its own. */
  async function sshd(...settings: string[]): Promise<{ readonly port: number }> {
    const port = await freePort();
    const authorizedKeys = `${fleet.identityFile}.pub`;
    const made = new Sshd({ dir: join(fleet.dir, randomUUID()), listen: "127.0.0.1", port, authorizedKeys, settings });
    await made.start();
    open.push({ [Symbol.asyncDispose]: () => made.stop() });
    return { port };
  }

  function run(connection: Connection, command: string, options: RunOptions = {}): Promise<ProcessResult> {
    const { timeout = 20_000, signal = never, clock = realClock, ...rest } = options;
    return runCommand(connection, command, rest, { left: timeout, timeout, signal, clock });
  }

  /** A command that runs on the host for longer than any test. */
  async function sleeping(connection: Connection, options: RunOptions = {}): Promise<{ ended: Promise<unknown> }> {
    const file = join(machine.dir, randomUUID());
    const ended = run(connection, `touch ${file}; exec sleep 600`, options);
    await until(() => existsSync(file), 5000, "the command to run");
    return { ended };
  }

  function reasonOf(work: Promise<unknown>): Promise<string> {
    return work.then(
      () => "none",
      (error: unknown) => asFssyncError(error).reason,
    );
  }

  /** Time passes faster by so much for what waits. */
  function faster(times: number): Clock {
    return { ...realClock, after: (delay, task) => realClock.after(delay / times, task) };
  }

  describe("commands", () => {
    test("end as a process does", async () => {
      const connection = await opened(machine);
      expect(await run(connection, "cat; echo err >&2; exit 3", { input: Buffer.from("in\n") })).toEqual({
        exitCode: 3,
        stdout: "in\n",
        stderr: "err\n",
        timedOut: false,
        aborted: false,
        flooded: false,
        spawnError: undefined,
      });
      expect(await run(connection, "kill -9 $$")).toMatchObject({ exitCode: null });
      expect((await run(connection, "printf '\\033]0;title\\007'")).stdout).toBe("\\x1b]0;title\\x07");
      expect((await run(connection, "printf '\\377'", { rawStdout: 10 })).stdout).toBe("\u00ff");
    });

    test("never lose their exit code, however short they are", async () => {
      const connection = await opened(machine);
      const codes = new Set<number | null>();
      for (let count = 0; count < 100; count++) codes.add((await run(connection, "exit 7")).exitCode);
      expect([...codes]).toEqual([7]);
    });

    test("that say more than is wanted are ended; of what is said for people the beginning is kept", async () => {
      const connection = await opened(machine);
      const flood = "while :; do echo flood; done";
      expect(await run(connection, flood, { rawStdout: 1000 })).toMatchObject({ flooded: true, exitCode: null });
      const { stdout, exitCode } = await run(connection, "head -c 300000 /dev/zero | tr '\\0' x");
      expect([stdout.length, exitCode]).toEqual([64 * 1024, 0]);
    });

    test.each([
      ["at their deadline", { timeout: 700 }, "SyncTimeout"],
      ["on an abort", {}, "Interrupted"],
    ])("are ended %s, also where the host refuses signals", async (_, options, reason) => {
      for (const forced of [undefined, 'exec sh -c "$SSH_ORIGINAL_COMMAND"']) {
        await machine.forceCommand(forced);
        const connection = await opened(machine);
        const stop = new AbortController();
        const marker = `600.${Math.trunc(Math.random() * 1e9)}`;
        const script = `${BOUNDED}\nsleep ${marker} & wait`;
        const work = run(connection, `exec sh -c ${quote(script)} sh ${LEADER}`, { ...options, signal: stop.signal });
        await until(() => runs(marker), 5000, "the command to run");
        if (reason === "Interrupted") stop.abort();
        expect(await reasonOf(work)).toBe(reason);
        // As the client does: a connection on which something may still be at work is not kept.
        await connection[Symbol.asyncDispose]();
        await until(() => !runs(marker), here(5000), "everything on the host to end");
      }
    });

    test("that were aborted before are Interrupted and do not run", async () => {
      const connection = await opened(machine);
      const file = join(machine.dir, randomUUID());
      expect(await reasonOf(run(connection, `touch ${file}`, { signal: AbortSignal.abort() }))).toBe("Interrupted");
      expect(existsSync(file)).toBe(false);
    });

    test("wait for hosts that do not read: no more than the window and a slice is sent", async () => {
      const between = await line();
      const connection = await opened(between);
      const before = between.sent;
      const stop = new AbortController();
      const work = run(connection, "sleep 600", { input: randomBytes(8_000_000), signal: stop.signal });
      const window = 2 * 1024 * 1024;
      await until(() => between.sent - before > window / 2, 10_000, "the window to be used");
      const size = await settled(() => between.sent - before);
      expect(size).toBeLessThan(window + 300_000);
      stop.abort();
      expect(await reasonOf(work)).toBe("Interrupted");
    });

    test("with much input, on many hosts at once, leave time for everything else, and each host gets its own", async () => {
      const connections = await Promise.all(Array.from({ length: 16 }, () => opened(machine)));
      const inputs = connections.map(() => randomBytes(4_000_000));
      const longest = watchTurns();
      const results = await Promise.all(connections.map((each, at) => run(each, "sha256sum", { input: inputs[at]! })));
      expect(longest()).toBeLessThan(here(50));
      const digests = inputs.map((input) => `${createHash("sha256").update(input).digest("hex")}  -\n`);
      expect(results.map(({ stdout }) => stdout)).toEqual(digests);
    });

    test("with input and arguments of any length come as they were sent", async () => {
      const connection = await opened(machine);
      for (const length of [0, 1, 15, 16, 8191, 16_379, 16_384, 32_767, 32_768, 65_536, 65_537, 99_999]) {
        const input = randomBytes(length);
        const digest = createHash("sha256").update(input).digest("hex");
        expect((await run(connection, "sha256sum", { input })).stdout, `${length} bytes`).toBe(`${digest}  -\n`);
        const word = "x".repeat(length);
        expect((await run(connection, `printf %s '${word}' | wc -c`)).stdout.trim(), `${length}`).toBe(String(length));
      }
    });

    test.each(ALGORITHMS.cipher)(
      "survive new keys in the middle, both ways and again and again, with %s",
      async (cipher) => {
        const connection = await opened(await sshd("RekeyLimit 64K", `Ciphers ${cipher}`));
        const input = randomBytes(3_000_000);
        const digest = createHash("sha256").update(input).digest("hex");
        const { stdout } = await run(connection, "cat", { input, rawStdout: 4_000_000 });
        expect(createHash("sha256").update(Buffer.from(stdout, "latin1")).digest("hex")).toBe(digest);
        for (let count = 0; count < 30; count++) {
          const small = await run(connection, "cat | wc -c", { input: input.subarray(0, 20_000) });
          expect(small).toMatchObject({ exitCode: 0, stdout: "20000\n" });
        }
        const both = Array.from({ length: 4 }, () => run(connection, "sha256sum", { input }));
        for (const each of await Promise.all(both)) expect(each.stdout).toBe(`${digest}  -\n`);
      },
    );
  });

  describe("hosts that do not behave", () => {
    test("that are cut off in the middle of a command are ConnectionLost, whatever ended the command", async () => {
      const between = await line();
      for (const cut of [() => between.cut(), () => machine.cut()]) {
        const connection = await opened(between);
        const work = await sleeping(connection);
        cut();
        expect(await reasonOf(work.ended)).toBe("ConnectionLost");
        expect(connection.alive).toBe(false);
      }
    });

    test("that vanish without a word in the middle of a command are ConnectionLost", async () => {
      const between = await line();
      const clock = faster(100);
      const connection = await opened(between, { clock, timeout: 500_000 });
      const work = await sleeping(connection, { clock, timeout: 2_000_000 });
      between.forget();
      expect(await reasonOf(work.ended)).toBe("ConnectionLost");
    });

    test("that are slow but answer are waited for", async () => {
      let looks = 0;
      const quick = faster(100);
      const after = (delay: number, task: () => void) => quick.after(delay, () => (looks++, task()));
      const clock: Clock = { ...quick, after };
      const connection = await opened(machine, { clock, timeout: 500_000 });
      const over = join(machine.dir, randomUUID());
      const work = run(connection, `until [ -e ${over} ]; do sleep 0.01; done; echo done`, {
        clock,
        timeout: 2_000_000,
      });
      // Many times as often as a host may be silent.
      await until(() => looks >= 13, 10_000, "the host to be asked for a sign of life again and again");
      writeFileSync(over, "");
      expect(await work).toMatchObject({ exitCode: 0, stdout: "done\n" });
    });

    test("that refuse another session refuse only that one", async () => {
      const connection = await opened(await sshd("MaxSessions 1"));
      const over = join(machine.dir, randomUUID());
      const first = run(connection, `until [ -e ${over} ]; do sleep 0.01; done; echo first`);
      expect(await reasonOf(run(connection, "true"))).toBe("ProtocolError");
      writeFileSync(over, "");
      expect(await first).toMatchObject({ exitCode: 0, stdout: "first\n" });
      expect(await run(connection, "echo again")).toMatchObject({ stdout: "again\n" });
    });

    test("that have too many logins under way are ConnectionLost", async () => {
      const busy = await sshd("MaxStartups 1:100:1", "LoginGraceTime 60");
      let other: Socket | undefined;
      // Who asked whether sshd is up may still count.
      const isGreeted = async () => {
        other?.destroy();
        other = connect(busy.port, "127.0.0.1");
        const [greeting] = await Promise.race([once(other, "data"), once(other, "close")]);
        return String(greeting).startsWith("SSH-");
      };
      await until(isGreeted, 5000, "another to log in");
      expect(await reasonOf(opened(busy))).toBe("ConnectionLost");
      other!.destroy();
      await until(async () => (await reasonOf(opened(busy))) === "none", 5000, "the host to take logins again");
    });

    test("that greet before their first word are connected to", async () => {
      const between = await line();
      between.greeting = "Welcome to this host\r\nSay your name\r\n";
      expect(await run(await opened(between), "echo hi")).toMatchObject({ stdout: "hi\n" });
    });

    test.each([
      ["before their first word", 0],
      ["after it", 30],
      ["in the middle of the handshake", 1200],
    ])("that stop answering %s are ConnectTimeout in time", async (_, stopsAfter) => {
      const between = await line();
      between.stopsAfter = stopsAfter;
      const began = performance.now();
      expect(await reasonOf(opened(between, { timeout: 500 }))).toBe("ConnectTimeout");
      expect(performance.now() - began).toBeLessThan(here(3000));
      await until(() => machine.sessions() === 0, 5000, "the connection to end");
    });

    test.each([
      ["say nothing and close", ""],
      ["speak something else", "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ])("that %s are ConnectionLost", async (_, words) => {
      const server = createServer((socket) => socket.on("error", () => undefined).end(words));
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo;
      expect(await reasonOf(opened({ port }))).toBe("ConnectionLost");
      await new Promise((resolve) => server.close(resolve));
    });

    test.each([true, false])(
      "that hang up while their key is looked up end nothing else (a key that is fine: %s)",
      async (fine) => {
        const unhandled: unknown[] = [];
        const note = (error: unknown) => void unhandled.push(error);
        process.on("unhandledRejection", note);
        const between = await line();
        const checked = Promise.withResolvers<void>();
        const work = opened(between, {
          hostKey: () => {
            between.cut();
            return checked.promise;
          },
        });
        expect(await reasonOf(work)).toBe("ConnectionLost");
        if (fine) checked.resolve();
        else checked.reject(new FssyncError("HostKeyUnknown", "not known"));
        await setImmediate();
        process.off("unhandledRejection", note);
        expect(unhandled).toEqual([]);
      },
    );

    test("that take a byte in a packet, or none, are a ProtocolError before anything is written", async () => {
      await using host = await StrangeHost.start({ packetSize: 1 });
      const connection = await opened(host);
      const work = run(connection, "cat", { input: randomBytes(64 * 1024) });
      expect(await reasonOf(work)).toBe("ProtocolError");
      expect([host.received, connection.alive]).toEqual([0, false]);
    });

    test.each(["stdout", "stderr"] as const)(
      "that say without an end what is for people are told to end (%s)",
      async (floods) => {
        await using host = await StrangeHost.start({ floods });
        const connection = await opened(host);
        expect(await run(connection, "true")).toMatchObject({ flooded: true, exitCode: null });
      },
    );

    test("that say goodbye and do not close are left, and what they did not do is ConnectionLost", async () => {
      await using host = await StrangeHost.start({ leaves: true });
      const connection = await opened(host);
      expect(await reasonOf(run(connection, "true"))).toBe("ConnectionLost");
      await connection.ended;
      expect(connection.alive).toBe(false);
    });

    test("that ask and ask while they are idle are left", async () => {
      await using host = await StrangeHost.start({ asks: true });
      const connection = await opened(host);
      await until(() => !connection.alive, 20_000, "the connection to be left");
    });

    test("leave nothing behind when the opening is aborted, at whatever point", async () => {
      for (const stopsAfter of [0, 30, 1200]) {
        const between = await line();
        between.stopsAfter = stopsAfter;
        const stop = new AbortController();
        const work = opened(between, { signal: stop.signal });
        await until(() => between.connections === 1, 5000, "the connection");
        stop.abort();
        expect(await reasonOf(work)).toBe("Interrupted");
      }
      await until(() => machine.sessions() === 0, 5000, "the connections to end");
      expect(await reasonOf(opened(machine, { signal: AbortSignal.abort() }))).toBe("Interrupted");
    });
  });

  describe("that are kept", () => {
    /** A pool of real connections over a line. */
    async function pooled() {
      const between = await line();
      const clock = faster(20);
      const pool = new Pool<Connection>({
        limit: 10,
        open: (_, signal) => opened(between, { signal, clock, timeout: 40_000 }),
      });
      open.push({ [Symbol.asyncDispose]: () => pool.endAll() });
      const use = <T>(work: (lease: Lease<Connection>) => Promise<T>) => pool.with(asHost(between), never, work);
      const say = (text: string) => use((lease) => lease.on((connection) => run(connection, `echo ${text}`)));
      return { between, use, say };
    }

    test("and died in the meantime are opened anew before anybody notices", async () => {
      const { between, say } = await pooled();
      for (const die of [() => between.cut(), () => machine.cut(), () => between.forget()]) {
        const before = between.connections;
        expect(await say("one")).toMatchObject({ stdout: "one\n" });
        die();
        expect(await say("two")).toMatchObject({ stdout: "two\n" });
        expect(between.connections - before).toBeLessThanOrEqual(2);
      }
      expect(between.connections).toBe(4);
    });

    test("and die when a command may have begun are not opened anew: it runs once", async () => {
      const { between, use } = await pooled();
      const file = join(machine.dir, randomUUID());
      const work = use((lease) => lease.on((connection) => run(connection, `echo x >>${file}; sleep 600`)));
      const written = () => existsSync(file) && readFileSync(file, "utf8");
      await until(() => written() === "x\n", 5000, "the command to run");
      between.cut();
      expect(await reasonOf(work)).toBe("ConnectionLost");
      expect(written()).toBe("x\n");
      expect(between.connections).toBe(1);
    });

    test("and are idle are asked by the kernel whether the host is there", async () => {
      const between = await line();
      await run(await opened(between), "true");
      // Of the sockets to that port: the second number of the sixth column tells which timer runs, 02 for this one.
      const to = `:${between.port.toString(16).toUpperCase().padStart(4, "0")}`;
      const timers = () =>
        readFileSync("/proc/net/tcp", "utf8")
          .split("\n")
          .map((each) => each.trim().split(/\s+/))
          .filter(([, , remote]) => remote?.endsWith(to))
          .map((columns) => columns[5]?.slice(0, 2));
      await until(() => timers().join() === "02", 10_000, "the timer");
    });

    test("end with all that waits to be sent, once the time is over", async () => {
      const between = await line();
      let isOver = false;
      const connection: Connection = await opened(between, { check: () => void (isOver && connection.destroy()) });
      const work = run(connection, "cat >/dev/null; sleep 600", { input: randomBytes(50_000_000) });
      await until(() => between.sent > 500_000, 5000, "the input to be on its way");
      isOver = true;
      expect(await reasonOf(work)).toBe("ConnectionLost");
      const size = await settled(() => between.sent);
      expect(size).toBeLessThan(50_000_000);
      expect(connection.alive).toBe(false);
    });
  });

  /** A process whose arguments have this in them. */
  function runs(marker: string): boolean {
    return readdirSync("/proc").some((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").includes(marker);
      } catch {
        return false;
      }
    });
  }
});

/** What a number is when it does not change any more. */
async function settled(number: () => number): Promise<number> {
  let before = -1;
  let since = performance.now();
  await until(
    () => {
      if (number() !== before) since = performance.now();
      before = number();
      return performance.now() - since > 300;
    },
    10_000,
    "nothing more",
  );
  return before;
}
