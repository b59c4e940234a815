import { describe, expect, test } from "vitest";
import { Lru } from "../../../src/model/lru.ts";

const keysOf = (lru: Lru<string, string>, keys: readonly string[]) => keys.filter((key) => lru.get(key) !== undefined);

describe("an Lru", () => {
  test("keeps those used last, and says which had to go", () => {
    const lru = new Lru<string, string>(2);
    expect([lru.set("a", "1"), lru.set("b", "2")]).toEqual([[], []]);
    expect(lru.get("a")).toBe("1");
    expect(lru.set("c", "3")).toEqual(["2"]);
    expect(keysOf(lru, ["a", "b", "c"])).toEqual(["a", "c"]);
  });

  test("forgets what is deleted, and has room for another one then", () => {
    const lru = new Lru<string, string>(2);
    for (const key of ["a", "b"]) lru.set(key, key);
    lru.delete("a");
    lru.delete("a");
    expect(lru.set("c", "c")).toEqual([]);
    expect(keysOf(lru, ["a", "b", "c"])).toEqual(["b", "c"]);
  });

  test("keeps as many as its capacity carries of their weight", () => {
    const lru = new Lru<string, string>(10, (value) => value.length);
    lru.set("a", "1234");
    lru.set("b", "1234");
    expect(lru.set("c", "123")).toEqual(["1234"]);
    expect(keysOf(lru, ["a", "b", "c"])).toEqual(["b", "c"]);
    expect(lru.set("b", "1234567")).toEqual([]);
    expect(lru.set("d", "1")).toEqual(["123"]);
    expect(keysOf(lru, ["b", "c", "d"])).toEqual(["b", "d"]);
  });

  test("keeps the last one whatever it weighs", () => {
    const lru = new Lru<string, string>(2, (value) => value.length);
    lru.set("a", "1");
    expect(lru.set("b", "12345")).toEqual(["1"]);
    expect(lru.get("b")).toBe("12345");
    expect(lru.set("c", "1")).toEqual(["12345"]);
  });
});
