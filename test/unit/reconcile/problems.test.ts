import { expect, test } from "vitest";
import { Problems } from "../../../src/reconcile/problems.ts";

const fetch = { reason: "FetchFailed", message: "down" } as const;
const empty = { reason: "EmptyTree", message: "no app" } as const;

test("a problem is fresh once and keeps its time while it lasts", () => {
  let now = 1;
  const problems = new Problems(() => now);
  expect(problems.set("git", [fetch])).toEqual({ fresh: [{ ...fetch, since: 1 }], changed: true });
  now = 2;
  expect(problems.set("git", [fetch])).toEqual({ fresh: [], changed: false });
  expect(problems.set("git", [empty, fetch])).toEqual({ fresh: [{ ...empty, since: 2 }], changed: true });
  expect(problems.all).toEqual([
    { ...empty, since: 2 },
    { ...fetch, since: 1 },
  ]);
});

test("the end of a problem is a change, the absence of any is none", () => {
  const problems = new Problems(() => 1);
  expect(problems.set("git", []).changed).toBe(false);
  problems.set("git", [fetch]);
  expect(problems.set("git", [])).toEqual({ fresh: [], changed: true });
  expect(problems.all).toEqual([]);
});

test("one problem instead of another is a change", () => {
  const problems = new Problems(() => 1);
  problems.set("git", [fetch]);
  expect(problems.set("git", [empty])).toMatchObject({ fresh: [empty], changed: true });
});

test("Git and inventory do not touch each other's problems", () => {
  const problems = new Problems(() => 1);
  problems.set("git", [fetch]);
  problems.set("inventory", []);
  expect(problems.all).toMatchObject([fetch]);
});

test("says what concerns some apps: what was found of them, and of all at once", () => {
  const problems = new Problems(() => 0);
  const web = { reason: "InventoryFailed", app: "env/prod/web", message: "404" } as const;
  const all = { reason: "InventoryFailed", app: null, message: "refused" } as const;
  problems.set("inventory", [web]);
  expect(problems.concerning("inventory", new Set(["env/prod/api"]))).toEqual([]);
  expect(problems.concerning("inventory", new Set(["env/prod/web"]))).toEqual([web]);
  expect(problems.concerning("inventory")).toEqual([web]);
  problems.set("inventory", [web, all]);
  expect(problems.concerning("inventory", new Set(["env/prod/api"]))).toEqual([all]);
  problems.set("inventory", []);
  expect(problems.concerning("inventory")).toEqual([]);
  expect(problems.concerning("git")).toEqual([]);
});
