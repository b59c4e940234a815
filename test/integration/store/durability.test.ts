import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, readdir, stat, truncate, writeFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import type { StatusStore } from "../../../src/ports/status-store.ts";
import { hostRecordAt } from "./records.ts";
import { newFile, openStore, recordingLog } from "./support.ts";

const CHILD = new URL("writer-child.ts", import.meta.url).pathname;

describe("the SQLite status store", () => {
  it("has every acknowledged save, whole, after SIGKILL in the middle of writing (fault 44)", async () => {
    const file = await newFile();
    let before = 0;
    for (const count of [1, 7, 30]) {
      const child = spawn(process.execPath, [CHILD, file], { stdio: ["ignore", "pipe", "inherit"] });
      const acknowledged = await killAfter(child, count);
      await using store = await openStore(file);
      const [a, b] = await savedNumbers(store);
      expect(a).toBe(b);
      expect(a).toBeGreaterThanOrEqual(acknowledged);
      expect(acknowledged).toBeGreaterThanOrEqual(count);
      before = a!;
    }
    expect(before).toBeGreaterThanOrEqual(30);
  });

  it("goes on with what is whole when the write-ahead log is cut short (fault 44)", async () => {
    const file = await newFile();
    const child = spawn(process.execPath, [CHILD, file], { stdio: ["ignore", "pipe", "inherit"] });
    const acknowledged = await killAfter(child, 20);
    const { size } = await stat(`${file}-wal`);
    await truncate(`${file}-wal`, size - 5000);
    await using store = await openStore(file);
    const [a, b] = await savedNumbers(store);
    expect(a).toBe(b);
    expect(a).toBeGreaterThan(0);
    expect(a).toBeLessThanOrEqual(acknowledged + 5);
    await store.save("files", { hosts: new Map([hostRecordAt("a", 999)]) });
    expect((await savedNumbers(store))[0]).toBe(999);
  });

  it.each([
    ["garbage", "this is no database, but it is long enough to look at. ".repeat(200)],
    ["a header and then garbage", `SQLite format 3\u0000${"x".repeat(20_000)}`],
  ])("sets a file of %s aside, says so, and starts empty (fault 44)", async (_what, content) => {
    const file = await newFile();
    await mkdir(dirname(file));
    await writeFile(file, content);
    await writeFile(`${file}-wal`, "old log");
    const { lines, log } = recordingLog();
    await using store = await openStore(file, log);
    expect(await store.repos()).toEqual([]);
    await store.save("files", { hosts: new Map([hostRecordAt("a", 1)]) });
    const aside = (await readdir(dirname(file))).find((name) => /^state\.db\.corrupt-\d{8}T\d{6}Z$/.test(name));
    expect(await readFile(`${dirname(file)}/${aside}`, "utf8")).toBe(content);
    expect(lines).toEqual([expect.objectContaining({ level: 50, msg: expect.stringContaining("set aside") })]);
  });

  it("finds damage in the middle of the file that opening does not show (fault 44)", async () => {
    const file = await newFile();
    {
      await using store = await openStore(file);
      const hosts = new Map(Array.from({ length: 200 }, (_, index) => hostRecordAt(`h${index}`, 1)));
      await store.save("files", { hosts });
    }
    const bytes = await readFile(file);
    bytes.fill(0xa5, 4096 * 8, bytes.length - 4096);
    await writeFile(file, bytes);
    const { lines, log } = recordingLog();
    await using store = await openStore(file, log);
    expect(await store.repos()).toEqual([]);
    expect(lines).toHaveLength(1);
  });

  it("starts empty when the file was emptied (fault 44)", async () => {
    const file = await newFile();
    await (await openStore(file))[Symbol.asyncDispose]();
    await truncate(file, 0);
    await using store = await openStore(file);
    expect(await store.repos()).toEqual([]);
  });

  it("rejects a save that the disk has no room for and records nothing of it (faults 4, 50)", async () => {
    const file = await newFile();
    await (await openStore(file))[Symbol.asyncDispose]();
    // A file may grow to 200 KiB in the child: then writing fails as on a full disk.
    const script = `ulimit -f 400; exec "$0" "$@"`;
    const child = spawn("sh", ["-c", script, process.execPath, CHILD, file, "5000"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const printed = await linesOf(child);
    expect(printed.at(-1)).toMatch(/^(ControllerNoSpace|Internal)$/);
    const acknowledged = Number(printed.at(-2));
    expect(acknowledged).toBeGreaterThan(0);
    await using store = await openStore(file);
    expect(await savedNumbers(store)).toEqual([acknowledged, acknowledged]);
  });

  it("rejects one refused change as a whole, and its neighbours in the same commit are stored (fault 50)", async () => {
    const file = await newFile();
    await using store = await openStore(file);
    const other = new DatabaseSync(file);
    other.exec(`CREATE TRIGGER refuse BEFORE INSERT ON host WHEN new.address = 'bad'
                BEGIN SELECT RAISE(ABORT, 'refused'); END`);
    other.close();
    const results = await Promise.allSettled([
      store.save("files", { hosts: new Map([hostRecordAt("one", 1)]) }),
      store.save("files", { hosts: new Map([hostRecordAt("half", 2), hostRecordAt("bad", 2)]) }),
      store.save("files", { hosts: new Map([hostRecordAt("two", 3)]) }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect([...(await store.load("files")).hosts.keys()].sort()).toEqual(["one:22", "two:22"]);
  });

  it("rejects while another connection keeps the store locked, and goes on afterwards (fault 50)", async () => {
    const file = await newFile();
    await using store = await openStore(file);
    const other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE");
    await expect(store.save("files", { hosts: new Map([hostRecordAt("a", 1)]) })).rejects.toThrow(/not stored/);
    other.exec("ROLLBACK");
    other.close();
    expect((await store.load("files")).hosts.size).toBe(0);
    await store.save("files", { hosts: new Map([hostRecordAt("a", 2)]) });
    expect((await store.load("files")).hosts.size).toBe(1);
  });

  it("refuses the file of a newer fssync by name and leaves it as it is", async () => {
    const file = await newFile();
    await (await openStore(file))[Symbol.asyncDispose]();
    const database = new DatabaseSync(file);
    database.exec("PRAGMA user_version = 99");
    database.close();
    await expect(openStore(file)).rejects.toMatchObject({
      reason: "StoreTooNew",
      message: expect.stringContaining("99"),
    });
    expect(await readdir(dirname(file))).toEqual(["state.db"]);
  });

  it("keeps its files to its owner", async () => {
    const file = await newFile();
    await mkdir(dirname(file), { mode: 0o755 });
    await writeFile(file, "");
    await chmod(file, 0o644);
    await using store = await openStore(file);
    await store.save("files", { hosts: new Map([hostRecordAt("a", 1)]) });
    for (const suffix of ["", "-wal", "-shm"]) expect((await stat(file + suffix)).mode & 0o777).toBe(0o600);
  });

  it("makes its folder for its owner only", async () => {
    const file = await newFile();
    await using _store = await openStore(file);
    expect((await stat(dirname(file))).mode & 0o777).toBe(0o700);
  });

  it("commits what waits when it is closed, and refuses what comes later", async () => {
    const file = await newFile();
    const store = await openStore(file);
    const saved = store.save("files", { hosts: new Map([hostRecordAt("a", 1)]) });
    await store[Symbol.asyncDispose]();
    await saved;
    await expect(store.save("files", {})).rejects.toMatchObject({ reason: "Interrupted" });
    await using again = await openStore(file);
    expect((await again.load("files")).hosts.size).toBe(1);
  });

  it("leaves out one unreadable record, loudly: unknown is not synced", async () => {
    const file = await newFile();
    const { lines, log } = recordingLog();
    await using store = await openStore(file, log);
    await store.save("files", { hosts: new Map([hostRecordAt("a", 1), hostRecordAt("b", 1)]) });
    const other = new DatabaseSync(file);
    other.exec("UPDATE host SET apps = '{' WHERE address = 'a'");
    other.close();
    expect([...(await store.load("files")).hosts.keys()]).toEqual(["b:22"]);
    expect(lines).toEqual([expect.objectContaining({ level: 50, key: "a:22" })]);
  });

  it("keeps keys with bytes that are not UTF-8 apart", async () => {
    const file = await newFile();
    await using store = await openStore(file);
    const apps = ["a/b/\udcff", "a/b/\udcfe", 'a/b/"', '"a/b/c'] as const;
    const record = { digest: "d", revision: "main@sha1:a", seenAt: 1.5, refused: null } as const;
    await store.save("files", {
      apps: new Map(apps.map((key) => [key as "a/b/c", { ...record, key: key as "a/b/c" }])),
    });
    const loaded = await store.load("files");
    expect([...loaded.apps.keys()].sort()).toEqual([...apps].sort());
    expect([...loaded.apps.values()].map(({ key }) => key).sort()).toEqual([...apps].sort());
  });

  it("shows an operator a row per app and host in plain SQL", async () => {
    const file = await newFile();
    await using store = await openStore(file);
    await store.save("files", { hosts: new Map([hostRecordAt("a", 60_000)]) });
    const database = new DatabaseSync(file, { readOnly: true });
    const rows = database.prepare("SELECT host, app, synced_at, state FROM app_on_host ORDER BY app LIMIT 1").all();
    database.close();
    expect(rows).toEqual([{ host: "a:22", app: "nginx/prod/app-0", synced_at: "1970-01-01 00:01:00", state: null }]);
  });
});

async function killAfter(child: ReturnType<typeof spawn>, count: number): Promise<number> {
  let last = 0;
  for await (const line of createInterface({ input: child.stdout! })) {
    last = Number(line);
    if (last >= count) child.kill("SIGKILL");
  }
  return last;
}

async function linesOf(child: ReturnType<typeof spawn>): Promise<string[]> {
  const lines: string[] = [];
  const closed = once(child, "close");
  for await (const line of createInterface({ input: child.stdout! })) lines.push(line);
  await closed;
  return lines;
}

/** syncedAt of the hosts a and b; every app of a host must agree. */
async function savedNumbers(store: StatusStore): Promise<(number | null | undefined)[]> {
  const { hosts } = await store.load("files");
  return ["a:22", "b:22"].map((key) => {
    const times = new Set([...(hosts.get(key)?.apps.values() ?? [])].map(({ syncedAt }) => syncedAt));
    expect(times.size).toBeLessThanOrEqual(1);
    return [...times][0];
  });
}
