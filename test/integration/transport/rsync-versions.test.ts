import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { encodePath } from "../../../src/model/path.ts";
import { hostKey } from "../../../src/model/host.ts";
import type { AppChange, Applied, KnownFile } from "../../../src/ports/transport.ts";
import { RsyncTransport } from "../../../src/transport/rsync-transport.ts";
import { writeArgs } from "../../../src/transport/batch/batch-args.ts";
import { Snapshots, type FileSpec } from "../../support/fleet-change.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { startFleet, type Fleet, type FleetHost } from "../../support/fleet.ts";
import { run } from "../../support/fleet/processes.ts";
import { oldRsyncs, versionOf, type OldRsync } from "../../support/old-rsync.ts";

const APP = "nginx/prod/web";
const isRoot = process.getuid?.() === 0;
const installed: OldRsync = { path: run("which", ["rsync"]).trim(), version: versionOf("rsync") };
const old = await oldRsyncs();
const all = [...old.filter(({ version }) => version !== installed.version), installed];
const theirs: Pick<FileSpec, "owner" | "group"> = isRoot ? { owner: "daemon", group: "adm" } : {};

let fleet: Fleet;
let snapshots: Snapshots;
let count = 0;

beforeAll(async () => {
  fleet = await startFleet({ hosts: 0, kind: "ports" });
  snapshots = new Snapshots(join(fleet.dir, "snapshots"));
});
afterAll(() => fleet[Symbol.asyncDispose]());

/** A host with this rsync, reached by a controller with that one. */
class Pair implements AsyncDisposable {
  readonly machine: FleetHost;
  readonly #transport: RsyncTransport;
  readonly #log: string;

  private constructor(machine: FleetHost, rsyncPath: string, log: string) {
    this.machine = machine;
    this.#log = log;
    const secret = new Map([
      ["identity", readFileSync(fleet.identityFile, "utf8")],
      ["known_hosts", fleet.knownHosts],
    ]);
    this.#transport = new RsyncTransport({
      dir: join(dirname(log), "transport"),
      socketDir: join(dirname(log), "s"),
      secret: () => Promise.resolve(secret),
      hostKeys: "strict",
      sudo: false,
      client: "builtin",
      rsyncPath,
      connectTimeout: 5000,
      clock: realClock,
      log: pino({ level: "silent" }),
    });
  }

  /** `script` is what the host has as rsync; it is started with the same words as rsync. */
  static async make(script: string, writer = installed.path): Promise<Pair> {
    const dir = join(fleet.dir, `pair-${++count}`);
    const bin = join(dir, "bin");
    mkdirSync(bin, { recursive: true });
    symlinkSync(writer, join(bin, "rsync"));
    vi.stubEnv("PATH", `${bin}:${process.env["PATH"]}`);
    const reader = join(dir, "reader");
    const log = join(dir, "log");
    writeFileSync(log, "");
    writeFileSync(reader, `#!/bin/sh\nprintf '%s\\n' "$*" >>${log}\n${script}\n`, { mode: 0o755 });
    return new Pair(await fleet.add(), reader, log);
  }

  /** How many times the host's rsync read a batch, and how many times it was a plain receiver, since it was asked last. */
  runs(): { readonly batch: number; readonly plain: number } {
    const lines = readFileSync(this.#log, "utf8").split("\n").filter(Boolean);
    writeFileSync(this.#log, "");
    const batch = lines.filter((line) => line.includes("--read-batch")).length;
    return { batch, plain: lines.filter((line) => line.startsWith("--server")).length };
  }

  async apply(app: AppChange): Promise<Applied> {
    await using prepared = await this.#transport.prepare(snapshots.change([app]));
    const { address, port, root } = this.machine;
    const host = { key: hostKey(address, port), address, port, user: fleet.user, root };
    return await this.#transport.apply(host, prepared, { timeout: 60_000, signal: new AbortController().signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
    await this.machine.down();
    vi.unstubAllEnvs();
  }
}

interface Laid extends FileSpec {
  readonly text?: string;
}

type Commit = Readonly<Record<string, Laid>>;

/** What is in Git after each of three commits. */
function commits(): readonly Commit[] {
  const many = Object.fromEntries(
    Array.from({ length: 200 }, (_, index) => [
      `etc/d${index % 7}/f${index}`,
      { text: `${"line\n".repeat(index)}${index}` },
    ]),
  );
  const first: Commit = {
    ...many,
    'etc/it\'s $(odd) "name"': { text: "odd" },
    "etc/-rf": { text: "an option" },
    "etc/caf\udce9": { text: "latin1" },
    "etc/empty": { text: "" },
    "etc/theirs": { text: "theirs", ...theirs, mode: 0o640 },
    "etc/run": { text: "#!/bin/sh\n", mode: 0o755 },
    "etc/special": { text: "#!/bin/sh\n", ...theirs, mode: 0o4750 },
    "etc/link": { link: "d0/f0" },
  };
  const second: Commit = { ...first, "etc/d1/f1": { text: "another" } };
  const { "etc/d2/f2": _, ...kept } = second;
  const third: Commit = {
    ...kept,
    "etc/theirs": { text: "theirs", ...theirs, mode: 0o600 },
    "etc/link": { link: "d1/f1" },
  };
  return [first, second, third];
}

/** From one commit to the next, as the planner would say it. */
function difference(from: Commit, to: Commit): AppChange {
  const sent = Object.entries(to).filter(([path, spec]) => JSON.stringify(from[path]) !== JSON.stringify(spec));
  const deleted = Object.keys(from).filter((path) => to[path] === undefined);
  const replaces = [...sent.map(([path]) => path), ...deleted].flatMap((path) => known(path, from[path], to[path]));
  return { ...snapshots.app(APP, Object.fromEntries(sent), deleted), replaces };
}

function known(path: string, before: Laid | undefined, after: Laid | undefined): KnownFile[] {
  if (before === undefined) return [];
  const sums = [before, ...(after ? [after] : [])].map((spec) => sha256(spec.link ?? spec.text ?? ""));
  const maxSize = Math.max(...[before, after].map((spec) => spec?.text?.length ?? 0));
  return [{ path, checksums: [...new Set(sums)], maxSize }];
}

function wanted(commit: Commit): string[] {
  const uid = isRoot ? Number(run("id", ["-u", "daemon"])) : process.getuid!();
  const gid = isRoot ? Number(run("getent", ["group", "adm"]).split(":")[2]) : process.getgid!();
  const [me, mine] = [process.getuid!(), process.getgid!()];
  return Object.entries(commit)
    .map(([path, { text = "", link, owner, mode = 0o644 }]) => {
      const name = encodePath(path).toString("latin1");
      if (link !== undefined) return `${name} -> ${link} ${me}:${mine}`;
      return `${name} ${mode.toString(8)} ${owner ? uid : me}:${owner ? gid : mine} ${sha256(text)}`;
    })
    .toSorted();
}

/** The same of what lies on a host. */
function found(root: string): string[] {
  const names = execFileSync("find", [root, "!", "-type", "d", "-printf", "%P\\0"], { encoding: "latin1" });
  const lines = names
    .split("\0")
    .slice(0, -1)
    .map((name) => {
      const file = Buffer.from(`${root}/${name}`, "latin1");
      const stat = lstatSync(file);
      const owned = `${stat.uid}:${stat.gid}`;
      if (stat.isSymbolicLink()) return `${name} -> ${readlinkSync(file)} ${owned}`;
      return `${name} ${(stat.mode & 0o7777).toString(8)} ${owned} ${sha256(readFileSync(file))}`;
    });
  return lines.toSorted();
}

function sha256(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

/** The row of a reader and the column of a writer in the table of docs/hosts.md; undefined for a version that it has not. */
function documented(reader: string, writer: string): string | undefined {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/hosts.md"), "utf8");
  const rows = [...page.matchAll(/^\| (.*) \|$/gm)].map((match) => match[1]!.split(" | "));
  const head = rows.find((row) => row[0] === "read by \\ written by");
  const column = head?.findIndex((cell) => cell.split(" ")[0] === writer) ?? -1;
  return rows.find((row) => row[0]!.split(" ")[0] === reader)?.[column];
}

describe.skipIf(old.length === 0)("one batch is read", () => {
  const pairs = all.flatMap((writer) => all.map((reader) => ({ writer, reader })));
  test.each(pairs)("by rsync $reader.version, written by $writer.version", async ({ writer, reader }) => {
    await using pair = await Pair.make(`exec ${reader.path} "$@"`, writer.path);
    let before: Commit = {};
    for (const commit of commits()) {
      const { outcome, fallback } = await pair.apply(difference(before, commit));
      expect([...outcome.values()]).toEqual([null]);
      expect(fallback).toBeUndefined();
      expect(pair.runs()).toMatchObject({ plain: 0 });
      expect(found(pair.machine.dir)).toEqual(wanted(commit));
      before = commit;
    }
    expect(documented(reader.version, writer.version) ?? "batch").toBe("batch");
  });
});

// Those that somebody names may be of any age.
const fetched = process.env["FSSYNC_TEST_RSYNCS"] === undefined ? old : [];
test.each(fetched)("docs/hosts.md tells of rsync $version", ({ version }) => {
  expect(documented(version, version)).toBe("batch");
});

test.each(all)("rsync $version writes batches that 3.1 can read", ({ path }) => {
  const dir = join(fleet.dir, `writer's ${++count}`);
  mkdirSync(join(dir, "nowhere"), { recursive: true });
  writeFileSync(join(dir, "a"), "a");
  writeFileSync(join(dir, "list"), "a\0");
  const batch = join(dir, "batch");
  const args = writeArgs(
    { list: { list: "list", source: dir }, mode: null, compress: true },
    batch,
    join(dir, "nowhere"),
  );
  execFileSync(path, [`--rsync-path=${path}`, ...args], { cwd: dir });
  const bytes = readFileSync(batch);
  expect(bytes.readUInt32LE(4), "the protocol").toBe(31);
  // 3.1 reads one byte of flags. Whoever sets this bit writes numbers of another form.
  expect(bytes[8]! & 0x80).toBe(0);
  expect(readdirSync(join(dir, "nowhere"))).toEqual([]);
});

/** Of an rsync that knows all but batches. */
const but = (answer: string) => `case $* in *--read-batch*) ${answer} ;; *) exec rsync "$@" ;; esac`;

describe("a host whose rsync reads no batch gets plain rsync", () => {
  test.each([
    [
      "3.0 refuses the protocol",
      `case $* in *--version*) echo "rsync  version 3.0.9  protocol version 30"; exit ;; esac
${but('cat >/dev/null; echo "The protocol version in the batch file is too new (31 > 30)." >&2; exit 2')}`,
      "rsync 3.0.9 cannot read the batch",
    ],
    [
      "another program does not know the option",
      but(`echo "rsync: unrecognized option '--read-batch=-'" >&2; exit 1`),
      `rsync ${installed.version} cannot read the batch`,
    ],
    ["one that ends well at once", but("exit 0"), "files were not right after the batch"],
    ["one that reads all and does nothing", but("exec cat >/dev/null"), "files were not right after the batch"],
    ["one that is killed", but("kill -9 $$"), "rsync ended with 137 on the host"],
  ])("%s", async (_, script, why) => {
    await using pair = await Pair.make(script);
    const [first, second] = commits() as [Commit, Commit];
    for (const [from, to] of [
      [{}, first],
      [first, second],
    ] as const) {
      const { outcome, fallback } = await pair.apply(difference(from, to));
      expect([...outcome.values()]).toEqual([null]);
      expect(fallback).toBe(why);
      expect(pair.runs().plain).toBeGreaterThan(0);
      expect(found(pair.machine.dir)).toEqual(wanted(to));
    }
  });

  test.each(old)("from rsync $version on the controller too", async ({ path }) => {
    await using pair = await Pair.make(but("exit 1"), path);
    const { outcome, fallback } = await pair.apply(difference({}, { "etc/a": { text: "a", ...theirs } }));
    expect([...outcome.values()]).toEqual([null]);
    expect(fallback).toBe(`rsync ${installed.version} cannot read the batch`);
    expect(found(pair.machine.dir)).toEqual(wanted({ "etc/a": { text: "a", ...theirs } }));
  });

  test("nothing that calls itself rsync is a success", async () => {
    await using pair = await Pair.make("exit 0");
    const { outcome } = await pair.apply(difference({}, { "etc/a": { text: "a" } }));
    expect([...outcome.values()]).toMatchObject([{ reason: "ProtocolError" }]);
  });
});
