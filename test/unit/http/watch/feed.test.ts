import { describe, expect, test } from "vitest";
import { Feed } from "../../../../src/http/watch/feed.ts";
import { Reader } from "../../../../src/http/watch/reader.ts";

interface Item {
  readonly name: string;
  readonly state: string;
}

function setUp() {
  let said = 0;
  const time = { now: 0 };
  const feed = new Feed<Item>({
    words: {
      whole: (item) => {
        said += 1;
        return JSON.stringify(item);
      },
      key: ({ name }) => JSON.stringify({ name }),
    },
    monotonic: () => time.now,
  });
  const put = (name: string, state: string) => feed.put(name, { name, state });
  return { feed, put, time, said: () => said };
}

/** All that a reader has to say now, `added a:Synced`. */
function told(reader: Reader<Item>): string[] {
  const parts: Buffer[] = [];
  while (!reader.done) parts.push(...reader.next());
  const blocks = Buffer.concat(parts).toString().split("\n\n").slice(0, -1);
  return blocks.map((block) => {
    const fields = new Map(block.split("\n").map((line) => line.split(": ", 2) as [string, string]));
    const { name, state = "-" } = JSON.parse(fields.get("data")!) as Partial<Item>;
    return name === undefined ? fields.get("event")! : `${fields.get("event")} ${name}:${state}`;
  });
}

const all = () => true;

describe("a reader", () => {
  test("is told all there is, then synced, then what changes", () => {
    const { feed, put } = setUp();
    put("a", "Synced");
    put("b", "Failed");
    const reader = new Reader(feed, all);
    expect(told(reader)).toEqual(["added a:Synced", "added b:Failed", "synced"]);
    put("a", "Pending");
    put("c", "Synced");
    feed.delete("b");
    expect(told(reader)).toEqual(["modified a:Pending", "added c:Synced", "deleted b:-"]);
    expect(told(reader)).toEqual([]);
  });

  test("that is told what there is while it changes is told of each change afterwards, once", () => {
    const { feed, put } = setUp();
    put("a", "Synced");
    put("b", "Synced");
    const reader = new Reader(feed, all);
    feed.delete("a");
    put("b", "Pending");
    put("c", "Synced");
    expect(told(reader)).toEqual([
      "added a:Synced",
      "added b:Synced",
      "synced",
      "deleted a:-",
      "modified b:Pending",
      "added c:Synced",
    ]);
  });

  test("of a part is told of what comes into it and leaves it, and of nothing else", () => {
    const { feed, put } = setUp();
    put("a", "Synced");
    put("b", "Failed");
    const reader = new Reader(feed, ({ state }) => state === "Failed");
    expect(told(reader)).toEqual(["added b:Failed", "synced"]);
    put("a", "Failed");
    put("a", "Failed");
    put("a", "Synced");
    put("a", "Pending");
    feed.delete("a");
    feed.delete("b");
    put("c", "Synced");
    expect(told(reader)).toEqual(["added a:Failed", "modified a:Failed", "deleted a:-", "deleted b:-"]);
  });

  test("gets pieces, not all at once, and passes what is not for it in pieces too", () => {
    const { feed, put } = setUp();
    for (let index = 0; index < 5000; index += 1) put(`item-${index}`, "x".repeat(100));
    const reader = new Reader(feed, all);
    const first = Buffer.concat(reader.next()).length;
    expect(first).toBeGreaterThan(64 * 1024 - 1);
    expect(first).toBeLessThan(66 * 1024);
    const other = new Reader(feed, () => false);
    expect(other.next()).toEqual([]);
    expect(other.done).toBe(false);
    expect(told(other)).toEqual(["synced"]);
    expect(told(reader).at(-1)).toBe("synced");
  });
});

describe("a feed", () => {
  test("puts each change into words once, whoever is told", () => {
    const { feed, put, said } = setUp();
    put("a", "Synced");
    const readers = Array.from({ length: 10 }, () => new Reader(feed, all));
    for (const reader of readers) told(reader);
    put("a", "Failed");
    for (const reader of readers) expect(told(reader)).toEqual(["modified a:Failed"]);
    expect(said()).toBe(2);
  });

  test("keeps changes until they are dropped, and says when the oldest of the others was", () => {
    const { feed, put, time } = setUp();
    put("a", "Synced");
    time.now = 5;
    const reader = new Reader(feed, all);
    put("a", "Failed");
    expect(feed.kept).toBe(2);
    expect(feed.drop(reader.place)).toBe(5);
    expect(told(reader)).toEqual(["added a:Synced", "synced", "modified a:Failed"]);
    expect(feed.drop(reader.place)).toBeNull();
    expect(feed.kept).toBe(0);
    expect(feed.drop(0)).toBeNull();
  });

  test("forgets without a word", () => {
    const { feed, put } = setUp();
    put("a", "1");
    const reader = new Reader(feed, all);
    told(reader);
    feed.forget("a");
    expect(told(reader)).toEqual([]);
    expect(told(new Reader(feed, all))).toEqual(["synced"]);
    feed.delete("a");
    expect(told(reader)).toEqual([]);
  });
});
