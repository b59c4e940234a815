import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { GitMirrorSource } from "../../../src/source/git-source.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { type Changes, makeRepo, type TestRepo } from "../../support/repo.ts";
import { memoryLog, openSource, temporaryFolder, type TemporaryFolder, wrapGit } from "./open-source.ts";

const WEB = "nginx/prod/web";
const { signal } = new AbortController();
/** Writes down every id that `cat-file` is asked for. */
const NOTE_IDS = `case "$*" in *"cat-file --batch") tee -a "$LOG" | "$GIT" "$@"; exit;; esac`;
/** The id of each process. */
const NOTE_PROCESSES = `case "$*" in *"cat-file --batch") echo $$ >>"$LOG";; esac`;
/** Milliseconds after which the process ends that nobody needed any more. */
const KEPT = 2000;

let repo: TestRepo;
let dir: TemporaryFolder;
let source: GitMirrorSource;
let log: ReturnType<typeof memoryLog>;
let clock: ManualClock;

beforeEach(async () => {
  repo = await makeRepo({ [`${WEB}/etc/a`]: "a\n", [`${WEB}/etc/b`]: "b\n", [`${WEB}/etc/c`]: "c\n" });
  dir = await temporaryFolder();
  log = memoryLog();
  clock = new ManualClock();
  source = openSource({ url: repo.url, dir: dir.path, log: log.log, clock });
  await source.poll(signal);
  clock.advance(KEPT);
});

afterEach(async () => {
  await source[Symbol.asyncDispose]();
  await repo[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

function blob(name: string): Promise<string> {
  return repo.id(`main:${WEB}/etc/${name}`);
}

async function processes(git: Awaited<ReturnType<typeof wrapGit>>): Promise<string[]> {
  return (await git.calls()).split("\n").filter((line) => line !== "");
}

function sha256(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

async function withFiles(changes: Changes): Promise<void> {
  await repo.commit(changes);
  await source.poll(signal);
}

it("starts one process for a call and for those that come soon after, and none for what is known", async () => {
  const [a, b, c] = await Promise.all([blob("a"), blob("b"), blob("c")]);
  await using git = await wrapGit(NOTE_PROCESSES);
  await source.checksums([a, b]);
  expect(await processes(git)).toHaveLength(1);
  expect(await source.checksums([b, a, a])).toEqual(
    new Map([
      [a, sha256("a\n")],
      [b, sha256("b\n")],
    ]),
  );
  clock.advance(KEPT - 1);
  await source.checksums([a, b, c]);
  expect(await processes(git)).toHaveLength(1);
});

it("ends the process that was kept when nobody needs it any more", async () => {
  const [a, b] = await Promise.all([blob("a"), blob("b")]);
  await using git = await wrapGit(NOTE_PROCESSES);
  await source.checksums([a]);
  clock.advance(KEPT);
  const [first] = await processes(git);
  await vi.waitFor(() => expect(existsSync(`/proc/${first}`)).toBe(false), 5000);
  await source.checksums([b]);
  expect(await processes(git)).toHaveLength(2);
});

it("reads on with another process when the one that was kept was killed", async () => {
  const [a, b] = await Promise.all([blob("a"), blob("b")]);
  await using git = await wrapGit(NOTE_PROCESSES);
  await source.checksums([a]);
  const [first] = await processes(git);
  process.kill(Number(first), "SIGKILL");
  await vi.waitFor(() => expect(existsSync(`/proc/${first}`)).toBe(false), 5000);
  expect((await source.checksums([b])).get(b)).toBe(sha256("b\n"));
  expect(await processes(git)).toHaveLength(2);
});

it("starts no process for the sizes of what it has the checksums of, nor the other way round", async () => {
  const [a, b] = await Promise.all([blob("a"), blob("b")]);
  await using git = await wrapGit(NOTE_PROCESSES);
  await source.checksums([a]);
  expect(await source.sizes([a])).toEqual(new Map([[a, 2]]));
  clock.advance(KEPT);
  expect(await processes(git)).toHaveLength(1);
  expect(await source.sizes([b])).toEqual(new Map([[b, 2]]));
  clock.advance(KEPT);
  await source.checksums([a, b]);
  expect(await processes(git)).toHaveLength(2);
});

it("reads a blob once, however many ask at the same time", async () => {
  const [a, b, c] = await Promise.all([blob("a"), blob("b"), blob("c")]);
  await using git = await wrapGit(NOTE_IDS);
  const [first, second, third] = await Promise.all([
    source.checksums([a, b]),
    source.checksums([b, c]),
    source.checksums([a, b, c]),
  ]);
  const asked = (await git.calls()).trim().split("\n");
  expect(asked).toHaveLength(3);
  expect(new Set(asked)).toEqual(new Set([a, b, c]));
  expect(Object.fromEntries(third)).toEqual({ [a]: sha256("a\n"), [b]: sha256("b\n"), [c]: sha256("c\n") });
  expect(first.size + second.size).toBe(4);
});

it("fails the call that asks for what is missing, and not those that wait for the same process", async () => {
  const [a, b] = await Promise.all([blob("a"), blob("b")]);
  const missing = "2".repeat(40);
  const [bad, good] = await Promise.allSettled([source.checksums([missing, a, b]), source.checksums([a, b])]);
  expect(bad).toMatchObject({ status: "rejected", reason: { reason: "SourceUnavailable" } });
  expect(good).toMatchObject({ status: "fulfilled", value: { size: 2 } });
});

it("asks again for what was missing", async () => {
  const content = Buffer.from("later\n");
  const id = createHash("sha1")
    .update(Buffer.concat([Buffer.from(`blob ${content.length}\0`), content]))
    .digest("hex");
  await expect(source.checksums([id])).rejects.toMatchObject({ reason: "SourceUnavailable" });
  await withFiles({ [`${WEB}/etc/later`]: content });
  expect((await source.checksums([id])).get(id)).toBe(sha256(content));
});

it("reads empty files, any bytes and many megabytes, and no more than the limit of their content", async () => {
  const files = { empty: Buffer.alloc(0), bytes: Buffer.from([0, 10, 13, 255, 10]), big: randomBytes(5 * 1024 * 1024) };
  await withFiles(Object.fromEntries(Object.entries(files).map(([name, content]) => [`${WEB}/etc/${name}`, content])));
  for (const [name, content] of Object.entries(files)) {
    const id = await blob(name);
    expect((await source.checksums([id])).get(id)).toBe(sha256(content));
    expect((await source.content(id, content.length))?.equals(content)).toBe(true);
    expect(await source.content(id, content.length - 1)).toBeNull();
  }
});

it("takes a blob that nobody pinned and that is gone for what it is, not for damage", async () => {
  const gone = await blob("a");
  await repo.forcePush({ [`${WEB}/etc/b`]: "b\n" });
  await repo.prune();
  await source[Symbol.asyncDispose]();
  await using elsewhere = await temporaryFolder();
  await using fresh = openSource({ url: repo.url, dir: elsewhere.path, log: log.log });
  await fresh.discover(await fresh.poll(signal));
  await expect(fresh.checksums([gone])).rejects.toMatchObject({
    reason: "SourceUnavailable",
    message: expect.stringContaining(gone),
  });
  expect(log.text()).not.toContain("damaged");
});

it("is Interrupted when it ends in the middle, and leaves no process", async () => {
  const id = await blob("a");
  await using _git = await wrapGit(`case "$*" in *"cat-file --batch") exec sleep 60;; esac`);
  const asked = Promise.allSettled([source.checksums([id]), source.checksums([id]), source.content(id, 100)]);
  await source[Symbol.asyncDispose]();
  for (const outcome of await asked) {
    expect(outcome).toMatchObject({ status: "rejected", reason: { reason: "Interrupted" } });
  }
});
