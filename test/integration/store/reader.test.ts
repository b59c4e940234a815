import { writeFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SqliteStatusReader } from "../../../src/store/sqlite-status-reader.ts";
import { hostRecordAt } from "./records.ts";
import { newFile, openStore, silent } from "./support.ts";

describe("reading the status store beside a controller", () => {
  it("sees each commit of a store that is open for writing, and does not hinder it", async () => {
    const file = await newFile();
    await using store = await openStore(file);
    await using reader = new SqliteStatusReader({ file, log: silent });
    expect(await reader.repos()).toEqual([]);
    await store.save("files", { hosts: new Map([hostRecordAt("a", 1)]) });
    expect(await reader.load("files")).toEqual(await store.load("files"));
    await store.save("files", { hosts: new Map([hostRecordAt("b", 2)]) });
    expect((await reader.load("files")).hosts.size).toBe(2);
    expect(await reader.repos()).toEqual(["files"]);
  });

  it("reads what an ended controller left", async () => {
    const file = await newFile();
    {
      await using store = await openStore(file);
      await store.save("files", { hosts: new Map([hostRecordAt("a", 1)]) });
    }
    await using reader = new SqliteStatusReader({ file, log: silent });
    expect((await reader.load("files")).hosts.size).toBe(1);
  });

  it("is empty, and makes no file, where no controller ever ran", async () => {
    const file = await newFile();
    await using reader = new SqliteStatusReader({ file, log: silent });
    expect(await reader.repos()).toEqual([]);
    expect((await reader.load("files")).hosts.size).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  it("says that a file is damaged and leaves it to the controller", async () => {
    const file = await newFile();
    await mkdir(dirname(file));
    await writeFile(file, "garbage ".repeat(1000));
    await using reader = new SqliteStatusReader({ file, log: silent });
    await expect(reader.load("files")).rejects.toMatchObject({ reason: "StoreCorrupt" });
    expect(existsSync(file)).toBe(true);
  });

  it("refuses a newer schema", async () => {
    const file = await newFile();
    await (await openStore(file))[Symbol.asyncDispose]();
    const database = new DatabaseSync(file);
    database.exec("PRAGMA user_version = 7");
    database.close();
    await using reader = new SqliteStatusReader({ file, log: silent });
    await expect(reader.repos()).rejects.toMatchObject({ reason: "StoreTooNew" });
  });
});
