import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BatchWriter } from "../../../src/store/batch-writer.ts";
import { ManualClock } from "../../support/manual-clock.ts";

describe("the batch writer", () => {
  let database: DatabaseSync;
  let clock: ManualClock;
  let writer: BatchWriter;

  beforeEach(() => {
    database = new DatabaseSync(":memory:");
    database.exec("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)");
    clock = new ManualClock();
    writer = new BatchWriter({ database, clock });
  });

  afterEach(() => {
    database.close();
  });

  function put(n: number, { rows = 1, text = "" } = {}): Promise<void> {
    return writer.write(rows, () => void database.prepare("INSERT INTO t VALUES (?, ?)").run(n, text));
  }

  function stored(): number[] {
    return database
      .prepare("SELECT n FROM t ORDER BY rowid")
      .all()
      .map((row) => Number(row["n"]));
  }

  it("waits 10 ms for others, then commits them together", async () => {
    const writes = [put(1), put(2)];
    clock.advance(9);
    expect(stored()).toEqual([]);
    writes.push(put(3));
    clock.advance(1);
    await Promise.all(writes);
    expect(stored()).toEqual([1, 2, 3]);
    expect(clock.timers).toBe(0);
  });

  it("commits 500 rows at a time and lets the process breathe between", async () => {
    const turns: (() => void)[] = [];
    clock.after = (_delay, task) => {
      turns.push(task);
      return { [Symbol.dispose]() {} };
    };
    const writes = Array.from({ length: 25 }, (_, n) => put(n, { rows: 50 }));
    const counts: number[] = [];
    for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) {
      turn();
      counts.push(stored().length);
    }
    expect(counts).toEqual([10, 20, 25]);
    await Promise.all(writes);
  });

  it("commits a change of more rows than that as a whole", async () => {
    const write = put(1, { rows: 20_000 });
    clock.advance(10);
    await write;
    expect(stored()).toEqual([1]);
  });

  it("rejects the one write that fails and stores its neighbours", async () => {
    const writes = Promise.allSettled([put(1), put(1), put(2)]);
    clock.advance(10);
    expect((await writes).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(stored()).toEqual([1, 2]);
  });

  it("rejects with ControllerNoSpace when the disk is full, stores nothing of it, and goes on (faults 4, 50)", async () => {
    const first = put(1);
    clock.advance(10);
    await first;
    database.exec("PRAGMA max_page_count = 3");
    const full = put(2, { text: "x".repeat(100_000) });
    const results = Promise.allSettled([full]);
    clock.advance(10);
    expect(await results).toEqual([
      { status: "rejected", reason: expect.objectContaining({ reason: "ControllerNoSpace" }) },
    ]);
    expect(stored()).toEqual([1]);
    const next = put(3);
    clock.advance(10);
    await next;
    expect(stored()).toEqual([1, 3]);
  });

  it("rejects all writes of a commit that fails and leaves nothing of them", async () => {
    database.exec(`PRAGMA foreign_keys = ON; CREATE TABLE child (n REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)`);
    const dangling = writer.write(1, () => database.exec("INSERT INTO child VALUES (99)"));
    const writes = Promise.allSettled([put(1), dangling]);
    clock.advance(10);
    expect((await writes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(stored()).toEqual([]);
    const next = put(2);
    clock.advance(10);
    await next;
    expect(stored()).toEqual([2]);
  });

  it("commits what waits at once when it is closed, and refuses what comes later", async () => {
    const write = put(1);
    writer.close();
    await write;
    expect(clock.timers).toBe(0);
    await expect(put(2)).rejects.toMatchObject({ reason: "Interrupted" });
  });
});
