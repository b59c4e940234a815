import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { HandleShare } from "../../../../src/transport/builtin/file-handles.ts";

test("those who keep connections share the file handles that others do not need", () => {
  using one = new HandleShare(4500);
  expect(one.connections).toBe(4000);
  {
    using other = new HandleShare(4500);
    expect([one.connections, other.connections]).toEqual([2000, 2000]);
  }
  expect(one.connections).toBe(4000);
});

test("where there are hardly any some connections are kept all the same", () => {
  using one = new HandleShare(64);
  expect(one.connections).toBe(8);
});

test("the limit is the one that the kernel has for this process", () => {
  using one = new HandleShare();
  expect(readFileSync("/proc/self/limits", "utf8")).toMatch(new RegExp(`^Max open files +${one.limit} `, "m"));
});
