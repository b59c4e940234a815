import { describe, expect, it } from "vitest";
import { fairShare, shortened, storedBytes } from "../../../../src/kubernetes/store/shorten.ts";

describe("cutting messages", () => {
  it.each([
    ["abc", 3],
    ["é", 2],
    ["😀", 4],
    ['"\\', 4],
    ["<&>", 18],
    ["\u2028", 6],
    ["\n", 2],
  ])("counts %j as the API server stores it", (text, bytes) => {
    expect(storedBytes(text)).toBe(bytes);
  });

  it.each([
    ["short", 10, "short"],
    ["exactly", 7, "exactly"],
    ["too long", 7, "too …"],
    ["ééééé", 9, "ééé…"],
    ["😀😀😀", 10, "😀…"],
    ["<<<<", 12, "<…"],
    ["anything", 2, ""],
  ])("cuts %j to %i bytes", (text, bytes, expected) => {
    expect(shortened(text, bytes)).toBe(expected);
    expect(storedBytes(shortened(text, bytes))).toBeLessThanOrEqual(bytes);
  });

  it.each([
    { sizes: [], budget: 10, share: 0 },
    { sizes: [5, 5], budget: 100, share: 5 },
    { sizes: [50, 50], budget: 40, share: 20 },
    { sizes: [2, 50, 50], budget: 42, share: 20 },
    { sizes: [50], budget: -5, share: 0 },
  ])("shares $budget bytes fairly", ({ sizes, budget, share }) => {
    expect(fairShare(sizes, budget)).toBe(share);
  });
});
