import { describe, expect, test } from "vitest";
import type { FileEntry } from "../../../src/model/manifest.ts";
import { byChange, findDrift } from "../../../src/plan/drift.ts";
import type { FileFact } from "../../../src/ports/transport.ts";
import { checksumOf, makeApp, objectId, type Files } from "../../support/factories.ts";

type FileAttributes = Partial<Extract<FileFact, { kind: "file" }>>;

const PATH = "etc/a.conf";

function entryOf(file: Files[string]): FileEntry {
  return makeApp("m/e/a", { [PATH]: file }).manifest[0]!;
}

/** A file as it lies on a host. */
function file(text: string, overrides: FileAttributes = {}): FileFact {
  const root = { owner: "root", group: "root", uid: 0, gid: 0 };
  return { kind: "file", mode: 0o644, checksum: checksumOf(objectId(text)), ...root, ...overrides };
}

function link(target: string, overrides: Partial<Extract<FileFact, { kind: "symlink" }>> = {}): FileFact {
  const root = { owner: "root", group: "root", uid: 0, gid: 0 };
  return { kind: "symlink", checksum: checksumOf(objectId(target)), ...root, ...overrides };
}

const MISSING: FileFact = { kind: "missing" };
const FOLDER: FileFact = { kind: "other" };

function verdict({ synced, desired, fact, givesAway = true }: Omit<Case, "name" | "verdict">): string | null {
  const entries = [synced, ...(desired ? [desired] : [])].map(entryOf);
  const checksums = new Map(entries.map(({ blob }) => [blob, checksumOf(blob)]));
  const wanted = desired === undefined ? {} : { desired: desired === null ? [] : [entryOf(desired)] };
  const found = findDrift({ files: [entryOf(synced)], ...wanted, checksums, givesAway }, [fact]);
  expect(found.length).toBeLessThanOrEqual(1);
  if (found[0]) expect(found[0]).toMatchObject({ entry: entryOf(synced), fact });
  return found[0]?.change ?? null;
}

interface Case {
  readonly name: string;
  /** What the host was given. */
  readonly synced: Files[string];
  /** What Git has now: null for nothing, absent for the same. */
  readonly desired?: Files[string] | null;
  readonly fact: FileFact;
  readonly givesAway?: boolean;
  readonly verdict: string | null;
}

const WWW = { text: "1", owner: "www", group: "www" };
const NUMBERS = { text: "1", owner: "1001", group: "1002" };
const LINK = { text: "target", kind: "symlink" } as const;
const ben = { owner: "ben", group: "ben", uid: 1000, gid: 1000 };

const VERDICTS: readonly Case[] = [
  { name: "as it was sent", synced: "1", fact: file("1"), verdict: null },
  { name: "not there", synced: "1", fact: MISSING, verdict: "missing" },
  { name: "a folder in its place", synced: "1", fact: FOLDER, verdict: "type" },
  { name: "a symlink in its place, to what is the same text", synced: "1", fact: link("1"), verdict: "type" },
  { name: "other content", synced: "1", fact: file("2"), verdict: "content" },
  { name: "more content than it may have", synced: "1", fact: file("1", { checksum: "" }), verdict: "content" },
  { name: "where the login may not look", synced: "1", fact: { kind: "unseen" }, verdict: null },
  {
    name: "where the login may not look, gone from Git",
    synced: "1",
    desired: null,
    fact: { kind: "unseen" },
    verdict: null,
  },
  { name: "another owner", synced: "1", fact: file("1", { owner: "ben", uid: 1000 }), verdict: "owner" },
  { name: "another group", synced: "1", fact: file("1", { group: "ben", gid: 1000 }), verdict: "owner" },
  { name: "another mode", synced: "1", fact: file("1", { mode: 0o600 }), verdict: "mode" },
  { name: "a setuid bit", synced: "1", fact: file("1", { mode: 0o4644 }), verdict: "mode" },
  { name: "content before owner and mode", synced: "1", fact: file("2", { ...ben, mode: 0o600 }), verdict: "content" },
  { name: "owner before mode", synced: "1", fact: file("1", { ...ben, mode: 0o600 }), verdict: "owner" },
  {
    name: "a file that cannot be read and looks right",
    synced: "1",
    fact: file("1", { checksum: null }),
    verdict: null,
  },
  {
    name: "a file that cannot be read since its owner was changed",
    synced: "1",
    fact: file("1", { checksum: null, ...ben }),
    verdict: "owner",
  },
];

const SYMLINKS: readonly Case[] = [
  { name: "as it was sent", synced: LINK, fact: link("target"), verdict: null },
  { name: "not there", synced: LINK, fact: MISSING, verdict: "missing" },
  { name: "to somewhere else", synced: LINK, fact: link("other"), verdict: "content" },
  { name: "a file in its place", synced: LINK, fact: file("target"), verdict: "type" },
  { name: "of another owner", synced: LINK, fact: link("target", ben), verdict: "owner" },
  {
    name: "whose mode in Git counts for nothing",
    synced: { ...LINK, mode: 0o600 },
    fact: link("target"),
    verdict: null,
  },
];

const OWNERS: readonly Case[] = [
  {
    name: "the name is held against the name",
    synced: WWW,
    fact: file("1", { owner: "www", group: "www", uid: 33, gid: 33 }),
    verdict: null,
  },
  {
    name: "a number against the number",
    synced: NUMBERS,
    fact: file("1", { owner: "ann", group: "ann", uid: 1001, gid: 1002 }),
    verdict: null,
  },
  {
    name: "a number with zeros before it is that number",
    synced: { ...NUMBERS, owner: "01001" },
    fact: file("1", { uid: 1001, gid: 1002 }),
    verdict: null,
  },
  { name: "another number", synced: NUMBERS, fact: file("1", { ...ben, uid: 1002, gid: 1002 }), verdict: "owner" },
  {
    name: "another number of the group",
    synced: NUMBERS,
    fact: file("1", { ...ben, uid: 1001, gid: 1001 }),
    verdict: "owner",
  },
  {
    name: "a login that is not root keeps root's files",
    synced: "1",
    givesAway: false,
    fact: file("1", ben),
    verdict: null,
  },
  { name: "and those of numbers", synced: NUMBERS, givesAway: false, fact: file("1", ben), verdict: null },
  { name: "but not those of another name", synced: WWW, givesAway: false, fact: file("1", ben), verdict: "owner" },
  {
    name: "its own name is right",
    synced: { text: "1", owner: "ben", group: "ben" },
    givesAway: false,
    fact: file("1", ben),
    verdict: null,
  },
  { name: "root itself does not keep what is meant for a number", synced: NUMBERS, fact: file("1"), verdict: "owner" },
];

const WITH_GIT: readonly Case[] = [
  { name: "Git changed it, the host has what was sent", synced: "1", desired: "2", fact: file("1"), verdict: null },
  { name: "Git changed it, the host has that already", synced: "1", desired: "2", fact: file("2"), verdict: null },
  { name: "both changed it", synced: "1", desired: "2", fact: file("3"), verdict: "conflict" },
  { name: "Git changed it, the host lost it", synced: "1", desired: "2", fact: MISSING, verdict: "conflict" },
  { name: "Git changed it, the host has a folder", synced: "1", desired: "2", fact: FOLDER, verdict: "conflict" },
  { name: "Git removed it, the host too", synced: "1", desired: null, fact: MISSING, verdict: null },
  { name: "Git removed it, the host has what was sent", synced: "1", desired: null, fact: file("1"), verdict: null },
  { name: "Git removed it, the host edited it", synced: "1", desired: null, fact: file("2"), verdict: "conflict" },
  { name: "Git left it alone, the host edited it", synced: "1", desired: "1", fact: file("2"), verdict: "content" },
  { name: "Git left it alone, the host lost it", synced: "1", desired: "1", fact: MISSING, verdict: "missing" },
  {
    name: "Git changed the mode, the host the content",
    synced: "1",
    desired: { text: "1", mode: 0o600 },
    fact: file("2"),
    verdict: "conflict",
  },
  {
    name: "Git changed the mode, the host has that mode",
    synced: "1",
    desired: { text: "1", mode: 0o600 },
    fact: file("1", { mode: 0o600 }),
    verdict: null,
  },
  {
    name: "Git has it from another folder with the same content",
    synced: "1",
    desired: { text: "1", from: "m/e/common_files", tree: "f".repeat(40) },
    fact: file("2"),
    verdict: "content",
  },
];

describe.for<[string, readonly Case[]]>([
  ["of a file", VERDICTS],
  ["of a symlink", SYMLINKS],
  ["of an owner", OWNERS],
  ["when Git has moved on", WITH_GIT],
])("the verdict %s", ([, cases]) => {
  test.for(cases)("$name: $verdict", (one) => {
    expect(verdict(one)).toBe(one.verdict);
  });
});

test("facts go with files by their order; what Git added since is not looked for", () => {
  const synced = makeApp("m/e/a", { a: "1", b: "1", c: "1" });
  const desired = makeApp("m/e/a", { a: "1", b: "2", c: "1", d: "1" });
  const checksums = new Map([...synced.manifest, ...desired.manifest].map(({ blob }) => [blob, checksumOf(blob)]));
  const facts = [file("9"), file("9"), file("1")];
  const found = findDrift({ files: synced.manifest, desired: desired.manifest, checksums, givesAway: true }, facts);
  expect(found.map(({ entry, change }) => [entry.path, change])).toEqual([
    ["a", "content"],
    ["b", "conflict"],
  ]);
});

test("the worst come first", () => {
  const changes = ["mode", "owner", "content", "type", "missing", "conflict"] as const;
  const sorted = changes.map((change) => ({ change })).toSorted(byChange);
  expect(sorted.map(({ change }) => change)).toEqual(changes.toReversed());
});
