import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TokenAccess } from "../../../../src/http/auth/token-access.ts";
import { FssyncError } from "../../../../src/model/errors.ts";
import type { Action } from "../../../../src/ports/access.ts";
import { SecretEmpty } from "../../../../src/ports/secrets.ts";
import { quiet, recordedLog } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const A = "aaaaaaaaaaaaaaaaaaaa";
const B = "bbbbbbbbbbbbbbbbbbbb";
const MINUTE = 60_000;

let clock: ManualClock;
let keys: Record<string, string> | FssyncError;
let lines: Record<string, unknown>[];
let access: TokenAccess;

const secrets = {
  read: async () => {
    if (keys instanceof Error) throw keys;
    return new Map(Object.entries(keys));
  },
};

async function open(): Promise<TokenAccess> {
  const { log, ...recorded } = recordedLog();
  lines = recorded.lines;
  return await TokenAccess.open({ secrets, name: "api", clock, log });
}

async function pass(milliseconds: number): Promise<void> {
  for (let left = milliseconds; left > 0; left -= 1000) {
    clock.advance(Math.min(1000, left));
    await quiet();
  }
}

beforeEach(async () => {
  clock = new ManualClock();
  keys = { operate: `ann ${A}` };
  access = await open();
});
afterEach(async () => {
  await access[Symbol.asyncDispose]();
  expect(clock.timers).toBe(0);
});

test("whoever shows a token has its name", async () => {
  await expect(access.authenticate(A)).resolves.toMatchObject({ name: "ann" });
  await expect(access.authenticate(B)).resolves.toBeUndefined();
  await expect(access.authenticate(`${A}a`)).resolves.toBeUndefined();
});

test("rotated tokens hold within seconds, and those before no more", async () => {
  keys = { operate: `bob ${B}` };
  await pass(3000);
  await expect(access.authenticate(B)).resolves.toMatchObject({ name: "bob" });
  await expect(access.authenticate(A)).resolves.toBeUndefined();
  await pass(10_000);
  keys = { read: `bob ${B}` };
  await pass(3000);
  expect(lines.map(({ msg }) => msg)).toEqual(Array(2).fill("the API's tokens have changed"));
});

test("does not open on a Secret that is wrong", async () => {
  keys = { operate: "short" };
  await expect(open()).rejects.toMatchObject({ reason: "SecretInvalid" });
});

describe("while the Secret cannot be read", () => {
  test("the last tokens hold for five minutes, then nobody gets in; each is said once", async () => {
    keys = new FssyncError("SecretInvalid", "the folder is missing");
    await pass(4 * MINUTE);
    await expect(access.authenticate(A)).resolves.toBeDefined();
    const holding = "the API's tokens cannot be read; the last good ones hold for five minutes";
    expect(lines.map(({ msg }) => msg)).toEqual([holding]);
    await pass(2 * MINUTE);
    await expect(access.authenticate(A)).resolves.toBeUndefined();
    await pass(2 * MINUTE);
    const closed = "the API's tokens could not be read for five minutes: nobody gets in by them";
    expect(lines.map(({ msg }) => msg)).toEqual([holding, closed]);

    keys = { read: A };
    await pass(3000);
    await expect(access.authenticate(A)).resolves.toMatchObject({ name: "read" });
    expect(lines.map(({ msg }) => msg)).toContain("the API's tokens can be read again");
  });

  test("also when reading it never ends", async () => {
    const { promise, resolve } = Promise.withResolvers<ReadonlyMap<string, string>>();
    const { log } = recordedLog();
    let reads = 0;
    const hanging = { read: () => (reads++ === 0 ? secrets.read() : promise) };
    await using hung = await TokenAccess.open({ secrets: hanging, name: "api", clock, log });
    await pass(6 * MINUTE);
    await expect(hung.authenticate(A)).resolves.toBeUndefined();
    resolve(new Map([["read", A]]));
    await quiet();
    // What it says at last is of six minutes ago.
    await expect(hung.authenticate(A)).resolves.toBeUndefined();
  });
});

describe("a Secret that was read", () => {
  test.each<[string, Record<string, string> | FssyncError]>([
    ["has no keys", new SecretEmpty("Secret api holds no files")],
    ["has empty keys", { operate: "\n# nobody\n" }],
  ])("%s: nobody gets in from then on", async (_, empty) => {
    keys = empty;
    await pass(3000);
    await expect(access.authenticate(A)).resolves.toBeUndefined();
    await pass(10_000);
    const gone = "the API's tokens are gone: nobody gets in by them";
    expect(lines.map(({ msg }) => msg)).toEqual([gone]);
    keys = { read: B };
    await pass(3000);
    await expect(access.authenticate(B)).resolves.toBeDefined();
  });

  test("and has a wrong line: tokens that are not in it go at once, the others hold, and the log names the line", async () => {
    keys = { operate: `bob ${B}\nann hunter2\n` };
    await pass(3000);
    await expect(access.authenticate(A)).resolves.toBeUndefined();
    await expect(access.authenticate(B)).resolves.toMatchObject({ name: "bob" });
    await pass(10 * MINUTE);
    await expect(access.authenticate(B)).resolves.toBeDefined();
    const wrong = lines.filter(({ msg }) => msg === "lines of the API's tokens are wrong; the others hold");
    expect(wrong, "once").toHaveLength(1);
    expect(wrong[0]).toMatchObject({
      level: 50,
      faults: ["Secret api, key operate, line 2: the token has 7 characters; 16 are the least"],
    });
    expect(JSON.stringify(lines)).not.toContain("hunter2");
  });
});

describe("roles", () => {
  const ACTIONS: Record<string, Action> = {
    list: { verb: "list", resource: "confighosts" },
    "get an app": { verb: "get", resource: "configapps", repo: "files" },
    "get its files": { verb: "get", resource: "configapps", repo: "files", files: true },
    "get its secret files": { verb: "get", resource: "configapps", subresource: "secrets" },
    "get a host": { verb: "get", resource: "confighosts" },
    update: { verb: "update", resource: "configapps" },
  };
  test.each([
    ["read", ["list", "get an app", "get its files", "get a host"]],
    ["pull", ["get its files", "get its secret files"]],
    ["operate", Object.keys(ACTIONS)],
  ])("%s may %j and nothing else", async (role, allowed) => {
    keys = { [role]: B };
    await pass(3000);
    const caller = (await access.authenticate(B))!;
    const may = await Promise.all(Object.values(ACTIONS).map((action) => access.may(caller, action)));
    expect(Object.keys(ACTIONS).filter((_, index) => may[index])).toEqual(allowed);
  });

  test("somebody who was not known by a token may nothing", async () => {
    await expect(access.may({ name: "anonymous" }, ACTIONS["list"]!)).resolves.toBe(false);
  });
});
