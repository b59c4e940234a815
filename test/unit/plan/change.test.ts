import { describe, expect, test } from "vitest";
import type { DesiredApp } from "../../../src/model/manifest.ts";
import { changeBetween, deletesAllowed, type Base } from "../../../src/plan/change.ts";
import { makeApp, objectId, type Files } from "../../support/factories.ts";

const KEY = "nginx/prod/web";
const app = (files: Files) => makeApp(KEY, files);

interface Case {
  readonly name: string;
  /** What is recorded; null for nothing. */
  readonly recorded: DesiredApp | null;
  /** What Git still has of it; the recorded app when absent. */
  readonly base?: Base | null;
  readonly unfinished?: readonly (Base | null)[];
  readonly desired: DesiredApp;
  readonly full?: boolean;
  readonly sends: readonly string[];
  readonly deletes: readonly string[];
  readonly baseFiles?: number;
}

const D0 = app({ a: "0", b: "0" });
const added = app({ a: "0", b: "0", c: "1" });
const changed = app({ a: "1", b: "0" });
const removed = app({ a: "0" });

const CASES: readonly Case[] = [
  {
    name: "no base: everything is sent, nothing is deleted",
    recorded: null,
    desired: D0,
    sends: ["a", "b"],
    deletes: [],
  },
  { name: "same files: nothing", recorded: D0, desired: D0, sends: [], deletes: [] },
  {
    name: "over any number of commits: exactly what differs",
    recorded: app({ same: "1", edited: "1", gone: "1" }),
    desired: app({ same: "1", edited: "3", new: "2" }),
    sends: ["edited", "new"],
    deletes: ["gone"],
    baseFiles: 3,
  },
  {
    name: "only the owner, the group or the mode changed: the file is sent",
    recorded: app({ owner: "1", group: "1", mode: "1", none: "1" }),
    desired: app({
      owner: { text: "1", owner: "www" },
      group: { text: "1", group: "www" },
      mode: { text: "1", mode: 0o600 },
      none: "1",
    }),
    sends: ["group", "mode", "owner"],
    deletes: [],
  },
  {
    name: "a file that becomes a symlink with the same blob is sent",
    recorded: app({ a: "x" }),
    desired: app({ a: { text: "x", kind: "symlink" } }),
    sends: ["a"],
    deletes: [],
  },
  {
    name: "another tree with the same blob is no change",
    recorded: app({ a: "x" }),
    desired: app({ a: { text: "x", tree: "f".repeat(40), from: "nginx/prod/common_files" } }),
    sends: [],
    deletes: [],
  },
  {
    name: "full: everything is sent and the deletes stay exact",
    recorded: D0,
    desired: removed,
    full: true,
    sends: ["a"],
    deletes: ["b"],
  },
  {
    name: "a base whose digest is not the recorded one: everything is sent and the deletes stay exact",
    recorded: D0,
    base: { digest: "other", manifest: D0.manifest },
    desired: removed,
    sends: ["a"],
    deletes: ["b"],
  },
  {
    name: "a lost base: everything is sent, nothing is deleted",
    recorded: D0,
    base: null,
    desired: removed,
    sends: ["a"],
    deletes: [],
  },
  {
    name: "unfinished, the same again: what that sync sends is sent once more",
    recorded: D0,
    unfinished: [added],
    desired: added,
    sends: ["c"],
    deletes: [],
  },
  {
    name: "unfinished, then back: a file it changed is restored",
    recorded: D0,
    unfinished: [changed],
    desired: D0,
    sends: ["a"],
    deletes: [],
  },
  {
    name: "unfinished, then back: a file it added is deleted",
    recorded: D0,
    unfinished: [added],
    desired: D0,
    sends: [],
    deletes: ["c"],
    baseFiles: 3,
  },
  {
    name: "unfinished, then back: a file it deleted is sent",
    recorded: D0,
    unfinished: [removed],
    desired: D0,
    sends: ["b"],
    deletes: [],
  },
  {
    name: "unfinished, then on: its file that is gone by then is deleted, the new one sent",
    recorded: D0,
    unfinished: [added],
    desired: app({ a: "0", b: "0", d: "2" }),
    sends: ["d"],
    deletes: ["c"],
  },
  {
    name: "unfinished twice: a path is left alone only when all versions have it right",
    recorded: D0,
    unfinished: [changed, added],
    desired: app({ a: "1", b: "0" }),
    sends: ["a"],
    deletes: ["c"],
  },
  {
    name: "unfinished without a base: its files that are not wanted any more are deleted, and only those",
    recorded: null,
    unfinished: [added],
    desired: D0,
    sends: ["a", "b"],
    deletes: ["c"],
  },
  {
    name: "unfinished whose commit is lost: everything is sent, the base's deletes stay exact",
    recorded: D0,
    unfinished: [null],
    desired: removed,
    sends: ["a"],
    deletes: ["b"],
  },
  {
    name: "base lost, unfinished known: deletes only what that sync may have put there",
    recorded: D0,
    base: null,
    unfinished: [added],
    desired: app({ a: "0" }),
    sends: ["a"],
    deletes: ["b", "c"],
  },
  {
    name: "an app without files: everything of the base goes",
    recorded: D0,
    desired: app({}),
    sends: [],
    deletes: ["a", "b"],
  },
];

describe("the change from what a host has to what it shall have", () => {
  test.for(CASES)("$name", ({ recorded, base, unfinished, desired, full, sends, deletes, baseFiles }) => {
    const change = changeBetween({
      recorded: recorded?.digest ?? null,
      base: base === undefined ? recorded : base,
      ...(unfinished && { unfinished }),
      desired,
      full: full ?? false,
    });
    expect(change.send.map(({ path }) => path)).toEqual(sends);
    expect(change.delete.toSorted()).toEqual(deletes);
    if (baseFiles !== undefined) expect(change.baseFiles).toBe(baseFiles);
  });

  test("never sends and deletes one path, whatever was unfinished", () => {
    const versions = [{ a: "1" }, { a: "2", b: "1" }, { b: "2", c: "1" }, {}, { "a/x": "1" }].map(app);
    for (const recorded of [null, ...versions])
      for (const one of [null, ...versions])
        for (const desired of versions) {
          const change = changeBetween({
            recorded: recorded?.digest ?? null,
            base: recorded,
            unfinished: [one],
            desired,
            full: false,
          });
          const sent = new Set(change.send.map(({ path }) => path));
          expect(change.delete.filter((path) => sent.has(path))).toEqual([]);
          const known = new Set([recorded, one].flatMap((version) => version?.manifest.map(({ path }) => path) ?? []));
          expect(change.delete.every((path) => known.has(path))).toBe(true);
        }
  });
});

describe("what a change lays something over", () => {
  const blobs = (...texts: string[]) => texts.map((text) => objectId(text));
  const replaced = (
    options: Partial<Parameters<typeof changeBetween>[0]> & { base: DesiredApp | null; desired: DesiredApp },
  ) => changeBetween({ recorded: options.base?.digest ?? null, full: false, ...options }).replaces;

  test("is what the base holds of what is sent and deleted, with both versions", () => {
    const base = app({ same: "1", edited: "1", gone: "1" });
    const desired = app({ same: "1", edited: "2", new: "1" });
    expect(replaced({ base, desired })).toEqual([
      { path: "edited", blobs: blobs("1", "2"), changed: true },
      { path: "gone", blobs: blobs("1"), changed: true },
    ]);
  });

  test("in a full sync also what Git did not change, which is said", () => {
    const base = app({ same: "1", edited: "1" });
    expect(replaced({ base, desired: app({ same: "1", edited: "2" }), full: true })).toEqual([
      { path: "edited", blobs: blobs("1", "2"), changed: true },
      { path: "same", blobs: blobs("1"), changed: false },
    ]);
  });

  test("with every version that a sync which was not finished may have put there", () => {
    const [unfinished, suspected] = [app({ a: "2" }), app({ a: "3" })];
    const all = { base: app({ a: "1" }), desired: app({ a: "4" }), unfinished: [unfinished], suspected: [suspected] };
    expect(replaced(all)).toEqual([{ path: "a", blobs: blobs("1", "2", "3", "4"), changed: true }]);
  });

  test("a change of attributes is a change by Git of the same content", () => {
    const desired = app({ a: { text: "1", mode: 0o600 } });
    expect(replaced({ base: app({ a: "1" }), desired })).toEqual([{ path: "a", blobs: blobs("1"), changed: true }]);
  });

  test("is nothing where the base is not known, or only another sync may have put it there", () => {
    expect(replaced({ base: null, desired: app({ a: "1" }) })).toEqual([]);
    const unfinished = [app({ a: "1", b: "1" })];
    expect(replaced({ base: app({ a: "1" }), desired: app({ a: "1" }), unfinished })).toEqual([]);
  });
});

describe("how many deletes are allowed", () => {
  test.for([
    { files: 10, percent: 20, allowed: 2 },
    { files: 11, percent: 20, allowed: 3 },
    { files: 1, percent: 20, allowed: 1 },
    { files: 3, percent: 1, allowed: 1 },
    { files: 0, percent: 20, allowed: 0 },
    { files: 10, percent: 0, allowed: 0 },
    { files: 10, percent: 99, allowed: 10 },
    { files: 1000, percent: 99, allowed: 990 },
    { files: 10, percent: 100, allowed: 10 },
    { files: 100, percent: 7, allowed: 7 },
  ])("$percent % of $files files: $allowed", ({ files, percent, allowed }) => {
    expect(deletesAllowed(files, percent)).toBe(allowed);
  });
});
