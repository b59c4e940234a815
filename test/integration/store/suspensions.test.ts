import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import type { SuspendedTarget } from "../../../src/ports/suspender.ts";
import { initial } from "../../../src/store/migrations/0001-initial.ts";
import { SqliteStatusReader } from "../../../src/store/sqlite-status-reader.ts";
import { hostRecordAt } from "./records.ts";
import { newFile, openStore, silent } from "./support.ts";

const WEB: AppKey = "nginx/prod/web";
const said = { by: "anna", reason: "release", since: 1_700_000_000_000 };
const REPO: SuspendedTarget = { repo: "files", ...said };
const APP: SuspendedTarget = { repo: "files", app: WEB, ...said };
const HOST: SuspendedTarget = { repo: "files", host: "[::1]:22", ...said, reason: "" };

describe("what is suspended", () => {
  it("is there for the next process, whether or not anything else is known of the repo", async () => {
    const file = await newFile();
    {
      await using store = await openStore(file);
      for (const suspended of [REPO, APP, HOST]) await store.putSuspension(suspended);
    }
    await using store = await openStore(file);
    expect(await store.suspensions("files")).toEqual([APP, HOST, REPO]);
    expect(await store.suspensions("other")).toEqual([]);
  });

  it("is one for one object: the last who said so counts", async () => {
    await using store = await openStore(await newFile());
    await store.putSuspension(APP);
    await store.putSuspension({ ...APP, by: "bert" });
    expect(await store.suspensions("files")).toEqual([{ ...APP, by: "bert" }]);
    await store.dropSuspension({ repo: "files", app: WEB });
    await store.dropSuspension({ repo: "files", app: WEB });
    expect(await store.suspensions("files")).toEqual([]);
  });

  it("keeps the name of an app that is no UTF-8", async () => {
    await using store = await openStore(await newFile());
    const odd: SuspendedTarget = { ...APP, app: "nginx/prod/w\udcffb" };
    await store.putSuspension(odd);
    expect(await store.suspensions("files")).toEqual([odd]);
  });

  it("goes with the repo", async () => {
    await using store = await openStore(await newFile());
    await store.putSuspension(APP);
    await store.putSuspension({ ...REPO, repo: "other" });
    await store.remove("files");
    await store.save("files", { hosts: new Map([hostRecordAt("a", 1)]) });
    expect(await store.suspensions("files")).toEqual([]);
    expect(await store.suspensions("other")).toHaveLength(1);
  });

  it("is seen by who reads beside, as of each load", async () => {
    const file = await newFile();
    await using store = await openStore(file);
    await using reader = new SqliteStatusReader({ file, log: silent });
    const seen = async () => {
      await reader.load("files");
      const holds = reader.suspended("files", WEB, "h:22");
      return [reader.repoSuspended("files"), holds, reader.suspended("files", "a/b/c", "[::1]:22")];
    };
    expect(await seen()).toEqual([false, false, false]);
    await store.putSuspension(APP);
    expect(await seen()).toEqual([false, true, false]);
    await store.putSuspension(HOST);
    expect(await seen()).toEqual([false, true, true]);
    await store.dropSuspension(APP);
    await store.dropSuspension(HOST);
    await store.putSuspension(REPO);
    expect(await seen()).toEqual([true, true, true]);
  });
});

it("a store of the version before is brought up to date and keeps what it has", async () => {
  const file = await newFile();
  await mkdir(dirname(file));
  const database = new DatabaseSync(file);
  database.exec(
    `${initial}; PRAGMA user_version = 1; INSERT INTO repo (name, revision) VALUES ('files', 'main@sha1:1');
     INSERT INTO host (repo, key, address, port, root, apps) VALUES ('files', 'a:22', 'a', 22, '/', '{}')`,
  );
  database.close();
  await using reader = new SqliteStatusReader({ file, log: silent });
  await expect(reader.load("files")).rejects.toThrow("older fssync");
  await using store = await openStore(file);
  expect((await store.load("files")).repo.revision).toBe("main@sha1:1");
  const host = { key: "a:22", address: "a", port: 22, root: "/", apps: new Map() };
  expect((await store.load("files")).hosts.get("a:22")).toEqual(host);
  await store.putSuspension(APP);
  expect(await store.suspensions("files")).toEqual([APP]);
  expect((await reader.load("files")).repo.revision).toBe("main@sha1:1");
});
