import { createHash } from "node:crypto";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { HostChange } from "../../../src/ports/transport.ts";
import { NOTHING, runProcess, type ProcessResult } from "../../../src/transport/process.ts";
import { WARN } from "../../support/log-lines.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { ShellHost } from "./batch-host.ts";

const DONE = { done: true };
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const HOUR = 60 * 60_000;

/** Counts the rsyncs that write batches; the first `failing` of them end badly. */
function writers({ failing = 0 } = {}) {
  const state = { runs: 0, failing };
  const start: typeof runProcess = (command, args, options) => {
    state.runs += 1;
    if (state.runs > state.failing) return runProcess(command, args, options);
    return Promise.resolve({ ...NOTHING, exitCode: 11, stderr: "rsync: write failed: No space left on device (28)" });
  };
  return { state, start };
}

function change(host: ShellHost, files: Record<string, string>, was?: string): HostChange {
  const replaces = was === undefined ? [] : Object.keys(files).map((path) => ({ path, checksums: [sha256(was)] }));
  return host.snapshots.change([{ ...host.snapshots.app("a/b/c", files), replaces }]);
}

describe("batches", () => {
  test("are written once for all hosts, and for all changes that bring the same", async () => {
    const { state, start } = writers();
    await using host = new ShellHost({ start });
    const [first, second] = [
      await host.prepare(change(host, { a: "2" }, "0")),
      await host.prepare(change(host, { a: "2" }, "1")),
    ];
    writeFileSync(join(host.root, "a"), "0");
    const together = await Promise.all(
      ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((address) => host.lay(first, { address })),
    );
    expect(together).toContainEqual(DONE);
    for (const changes of [[first, second], [second]]) {
      writeFileSync(join(host.root, "a"), "1");
      expect(await host.lay(changes.at(-1)!)).toEqual(DONE);
      expect(readFileSync(join(host.root, "a"), "utf8")).toBe("2");
      await first[Symbol.asyncDispose]();
    }
    expect(state.runs).toBe(1);
    expect(readdirSync(host.work).filter((name) => name.startsWith("change-batch"))).toHaveLength(1);
    await second[Symbol.asyncDispose]();
    expect(readdirSync(host.work)).toEqual([]);
    expect(await host.lay(change(host, { a: "2" }))).toEqual(DONE);
    expect(state.runs).toBe(2);
  });

  test("of the same content with other modes are others", async () => {
    const { state, start } = writers();
    await using host = new ShellHost({ start });
    const files = (mode: number) => ({ a: { text: "1", mode } });
    for (const mode of [0o644, 0o755, 0o600])
      expect(await host.lay(host.snapshots.change([host.snapshots.app("a/b/c", files(mode))]))).toEqual(DONE);
    expect(state.runs).toBe(3);
  });

  test("that cannot be written are told once, and tried again later", async () => {
    const clock = new ManualClock();
    const { state, start } = writers({ failing: 2 });
    await using host = new ShellHost({ start, clock });
    const prepared = await host.prepare(change(host, { a: "1" }));
    const other = await host.prepare(change(host, { a: "2" }));
    const told = () => host.lines.filter(({ level }) => level >= WARN).map(({ reason, msg }) => [reason, msg]);
    for (const each of [prepared, prepared, other]) expect(await host.lay(each)).toEqual({ done: false });
    clock.advance(61_000);
    expect(await host.lay(prepared)).toEqual({ done: false });
    expect(state.runs).toBe(2);
    clock.advance(61_000);
    expect(await host.lay(prepared)).toEqual(DONE);
    expect(told()).toEqual([["ControllerNoSpace", "batches cannot be written: each host gets an rsync of its own"]]);
    expect(readdirSync(host.work).filter((name) => name.startsWith("change-batch"))).toHaveLength(1);
  });

  test("are awaited by no host longer than it may, and one that was not written to its end is no failure", async () => {
    let writes = 0;
    const stuck = Promise.withResolvers<ProcessResult>();
    const start: typeof runProcess = (...work) => (++writes === 1 ? stuck.promise : runProcess(...work));
    await using host = new ShellHost({ start });
    const prepared = await host.prepare(change(host, { a: "1" }));
    const abort = new AbortController();
    const waiting = host.lay(prepared, { signal: abort.signal });
    await expect(host.lay(prepared, { timeout: 1 })).rejects.toMatchObject({ reason: "SyncTimeout" });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ reason: "Interrupted" });
    stuck.resolve({ ...NOTHING, exitCode: null, aborted: true });
    expect(await host.lay(await host.prepare(change(host, { a: "2" })))).toEqual(DONE);
    expect(host.lines.filter(({ level }) => level >= WARN)).toEqual([]);
  });

  test("tell of a host that only OpenSSH reaches", async () => {
    await using host = new ShellHost();
    const laid = await host.lay(change(host, { a: "1" }), { waits: false });
    expect(laid).toEqual({ done: false, fallback: "reached by OpenSSH" });
  });

  test("are not made of changes that no batch can bring, which is no host's fault", async () => {
    await using host = new ShellHost();
    const app = (files: Record<string, string>, deletes: string[] = []) =>
      host.snapshots.change([host.snapshots.app("a/b/c", files, deletes)]);
    const changes = [
      app({ "a\nb": "1" }),
      app({ "a\\b": "1" }),
      app({ a: "1" }, ["a/b"]),
      app({ large: "x".repeat(17 * 1024 * 1024) }),
    ];
    for (const each of changes) expect(await host.lay(each)).toEqual({ done: false });
    const gone = app({ a: "1" });
    chmodSync(host.snapshots.root, 0o755);
    const prepared = await host.prepare({ ...gone, snapshotRoot: join(host.dir, "gone") });
    expect(await host.lay(prepared)).toEqual({ done: false });
    expect(host.commands).toBe(0);
    expect(host.lines.filter(({ level }) => level >= WARN)).toEqual([]);
  });

  test("refuse to be laid when their change is disposed", async () => {
    await using host = new ShellHost();
    const prepared = await host.prepare(change(host, { a: "1" }));
    await prepared[Symbol.asyncDispose]();
    await expect(host.lay(prepared)).rejects.toMatchObject({ reason: "Internal" });
  });
});

describe("what was learnt about a host", () => {
  const OLD = 'case $1 in --version) echo "rsync  version 3.0.9  protocol version 30" ;; *) exit 2 ;; esac';

  test("holds for an hour, for this host alone", async () => {
    const clock = new ManualClock();
    await using host = new ShellHost({ clock });
    const { path } = host;
    host.program("rsync", OLD);
    const prepared = await host.prepare(change(host, { a: "1" }));
    const fallback = { done: false, fallback: "rsync 3.0.9 cannot read the batch" };
    for (let time = 0; time < 3; time++) expect(await host.lay(prepared)).toEqual(fallback);
    expect(host.commands).toBe(1);
    host.path = path;
    expect(await host.lay(prepared, { address: "10.0.0.2" })).toEqual(DONE);
    clock.advance(HOUR - 1);
    expect(await host.lay(prepared)).toEqual(fallback);
    clock.advance(2);
    expect(await host.lay(prepared)).toEqual(DONE);
    expect(await host.lay(prepared)).toEqual(DONE);
    expect(host.commands).toBe(4);
  });

  test("is nothing when somebody edited a file", async () => {
    await using host = new ShellHost();
    writeFileSync(join(host.root, "a"), "by hand");
    for (let time = 1; time < 4; time++) {
      expect((await host.lay(change(host, { a: "2" }, "1"))).fallback).toBe("files are not as last synced");
      expect(host.commands).toBe(time);
    }
  });

  test("counts when files are wrong after it twice in a row", async () => {
    await using host = new ShellHost();
    const { path } = host;
    const lying = () => host.program("rsync", "cat >/dev/null");
    const prepared = await host.prepare(change(host, { a: "1" }));
    const wrong = { done: false, fallback: "files were not right after the batch" };
    lying();
    expect(await host.lay(prepared)).toEqual(wrong);
    host.path = path;
    expect(await host.lay(prepared)).toEqual(DONE);
    lying();
    const other = await host.prepare(change(host, { b: "1" }));
    for (let time = 0; time < 4; time++) expect(await host.lay(other)).toEqual(wrong);
    expect(host.commands).toBe(4);
  });

  test.each([
    ["a program that it lacks", "the host has no sha256sum", (host: ShellHost) => (host.path = onlySh(host))],
    [
      "sudo that refuses",
      "sudo does not allow sh",
      (host: ShellHost) => host.program("sh", 'echo "sudo: a password is required" >&2; exit 1'),
    ],
  ])("is %s", async (_, fallback, spoil) => {
    await using host = new ShellHost();
    const prepared = await host.prepare(change(host, { a: "1" }));
    spoil(host);
    for (let time = 0; time < 2; time++) expect(await host.lay(prepared)).toEqual({ done: false, fallback });
    expect(host.commands).toBe(1);
    expect(existsSync(join(host.root, "a"))).toBe(false);
  });

  test("counts when it says nothing of the script twice in a row: a forced command may be broken for minutes", async () => {
    await using host = new ShellHost();
    const prepared = await host.prepare(change(host, { a: "1" }));
    host.program("sh", "echo no; exit 1");
    const silent = { done: false, fallback: "the host does not run the script" };
    for (let time = 0; time < 4; time++) expect(await host.lay(prepared)).toEqual(silent);
    expect(host.commands).toBe(2);
  });

  test("is not what rsync says of files", async () => {
    await using host = new ShellHost();
    const prepared = await host.prepare(change(host, { a: "1" }));
    for (const [code, fallback] of [
      [23, "rsync ended with 23 on the host"],
      [11, "rsync ended with 11 on the host"],
      [30, "rsync waited in vain for the batch"],
      [127, "rsync does not start on the host"],
    ] as const) {
      host.program("rsync", `exit ${code}`);
      expect(await host.lay(prepared)).toEqual({ done: false, fallback });
    }
    expect(host.commands).toBe(4);
  });
});

/** A folder with a shell and nothing else. */
function onlySh(host: ShellHost): string {
  host.program("sh", 'exec /bin/sh "$@"');
  return join(host.dir, "bin");
}
