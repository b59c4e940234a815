import { describe, expect, test } from "vitest";
import {
  MAX_DRIFTED_FILES,
  MAX_REPLACED_FILES,
  recurringPaths,
  rememberedDrift,
  type DriftedFile,
  type ReplacedFile,
} from "../../../src/model/drift.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = 1_700_000_000_000;

function replaced(path: string, ...ago: number[]): ReplacedFile[] {
  return ago.map((before) => ({ path, change: "content", at: NOW - before }));
}

function drifted(count: number): DriftedFile[] {
  return Array.from({ length: count }, (_, index) => ({ path: `f${index}`, change: "mode", since: NOW }));
}

function recurring(files: readonly DriftedFile[], ...laid: ReplacedFile[][]): string[] {
  return recurringPaths({ files, count: files.length, replaced: laid.flat() }, NOW);
}

describe("a file drifts again and again", () => {
  test.for<[string, readonly ReplacedFile[], readonly DriftedFile[], string[]]>([
    ["laid over twice", replaced("f0", 2 * HOUR, HOUR), [], []],
    ["laid over three times", replaced("f0", 3 * HOUR, 2 * HOUR, HOUR), [], ["f0"]],
    ["laid over twice and drifted now", replaced("f0", 2 * HOUR, HOUR), drifted(1), ["f0"]],
    ["laid over once and drifted now", replaced("f0", HOUR), drifted(1), []],
    ["laid over three times, the first a day ago", replaced("f0", DAY, 2 * HOUR, HOUR), [], []],
    ["laid over three times, the first not quite a day ago", replaced("f0", DAY - 1, 2 * HOUR, HOUR), [], ["f0"]],
    ["only drifted, for whatever time", [], drifted(3), []],
  ])("when it was %s", ([, laid, files, expected]) => {
    expect(recurring(files, [...laid])).toEqual(expected);
  });

  test("each file for itself", () => {
    expect(recurring([], replaced("a", 1, 2), replaced("b", 1, 2, 3), replaced("c", 4))).toEqual(["b"]);
  });
});

describe("what is remembered", () => {
  test("nothing when there is nothing", () => {
    expect(rememberedDrift([], [], NOW)).toBeUndefined();
    expect(rememberedDrift([], replaced("a", DAY), NOW)).toBeUndefined();
  });

  test("what was laid over within a day, and no longer", () => {
    const drift = rememberedDrift([], [...replaced("old", DAY), ...replaced("new", DAY - 1, 0)], NOW);
    expect(drift).toMatchObject({ files: [], count: 0 });
    expect(drift?.replaced.map(({ path }) => path)).toEqual(["new", "new"]);
  });

  test("the first files up to the limit, and the number of all", () => {
    const drift = rememberedDrift(drifted(MAX_DRIFTED_FILES + 5), [], NOW, 7);
    expect(drift?.files).toEqual(drifted(MAX_DRIFTED_FILES));
    expect(drift?.count).toBe(MAX_DRIFTED_FILES + 12);
  });

  test("files that are not listed, when nothing else is left", () => {
    expect(rememberedDrift([], [], NOW, 3)).toEqual({ files: [], count: 3, replaced: [] });
  });

  test("of too many that were laid over the newest, oldest first", () => {
    const laid = Array.from({ length: MAX_REPLACED_FILES + 10 }, (_, index) =>
      replaced(`f${index}`, 1000 - index),
    ).flat();
    expect(rememberedDrift([], laid, NOW)?.replaced).toEqual(laid.slice(10));
  });

  test("one file that is laid over all the time does not push the others out", () => {
    const laid = [
      ...replaced("quiet", HOUR),
      ...replaced("loud", ...Array.from({ length: 200 }, (_, index) => 200 - index)),
    ];
    const drift = rememberedDrift([], laid, NOW)!;
    expect(drift.replaced.length).toBeLessThanOrEqual(MAX_REPLACED_FILES);
    expect(drift.replaced[0]).toMatchObject({ path: "quiet" });
    expect(recurringPaths(drift, NOW)).toEqual(["loud"]);
  });

  test("a crowd that is laid over once does not push out what was laid over again and again", () => {
    const crowd = Array.from({ length: 2 * MAX_REPLACED_FILES }, (_, index) => replaced(`f${index}`, 1)).flat();
    const drift = rememberedDrift([], [...replaced("loud", 3 * HOUR, 2 * HOUR, HOUR), ...crowd], NOW)!;
    expect(drift.replaced).toHaveLength(MAX_REPLACED_FILES);
    expect(recurringPaths(drift, NOW)).toEqual(["loud"]);
  });

  test("files that many at once drift again and again are found out, however many they are", () => {
    const all = (ago: number) =>
      Array.from({ length: 3 * MAX_REPLACED_FILES }, (_, index) => replaced(`f${index}`, ago)).flat();
    let drift = rememberedDrift([], all(3 * HOUR), NOW)!;
    for (const ago of [2 * HOUR, HOUR]) drift = rememberedDrift([], [...drift.replaced, ...all(ago)], NOW)!;
    expect(drift.replaced.length).toBeLessThanOrEqual(MAX_REPLACED_FILES);
    expect(recurringPaths(drift, NOW).length).toBeGreaterThan(10);
  });
});
