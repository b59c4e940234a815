import { assert, integer, property, record, string, uniqueArray } from "fast-check";
import { expect, test } from "vitest";
import { HttpProblem } from "../../../../src/http/problem.ts";
import { partOf, placeOf } from "../../../../src/http/views/paging.ts";

const all = () => true;

function listed(repos: Record<string, readonly string[]>) {
  return Object.entries(repos).map(([repo, orders]) => ({ repo, entries: orders.map((order) => ({ repo, order })) }));
}

test("pages are the whole list, each entry once, whatever the limit", () => {
  const names = uniqueArray(string(), { maxLength: 20 }).map((found) => found.sort((a, b) => (a < b ? -1 : 1)));
  const repos = record({ "a/one": names, "a/two": names, b: names });
  assert(
    property(repos, integer({ min: 1, max: 30 }), (orders, limit) => {
      const list = listed(orders);
      const found = [];
      let cursor: string | undefined = undefined;
      do {
        const part: ReturnType<typeof partOf<{ repo: string; order: string }>> = partOf(list, {
          of: "things",
          after: placeOf("things", cursor),
          limit,
          matches: all,
        });
        expect(part.entries.length).toBeLessThanOrEqual(limit);
        found.push(...part.entries);
        cursor = part.next;
      } while (cursor !== undefined);
      expect(found).toEqual(list.flatMap(({ entries }) => entries));
    }),
  );
});

test("what comes before the place while somebody pages moves nothing, what comes after it is there", () => {
  const { next } = partOf(listed({ files: ["b", "d", "f"] }), { of: "things", after: null, limit: 2, matches: all });
  const changed = listed({ files: ["a", "b", "c", "e", "g"] });
  const { entries } = partOf(changed, { of: "things", after: placeOf("things", next), limit: 5, matches: all });
  expect(entries.map(({ order }) => order)).toEqual(["e", "g"]);
});

test("a page that ends where the list does has no next", () => {
  const { entries, next } = partOf(listed({ files: ["a", "b"] }), {
    of: "things",
    after: null,
    limit: 2,
    matches: all,
  });
  expect([entries.length, next]).toEqual([2, undefined]);
});

test("what does not match does not count", () => {
  const matches = ({ order }: { order: string }) => order > "b";
  const { entries, next } = partOf(listed({ files: ["a", "b", "c", "d"] }), {
    of: "things",
    after: null,
    limit: 1,
    matches,
  });
  expect(entries.map(({ order }) => order)).toEqual(["c"]);
  expect(placeOf("things", next)).toEqual({ repo: "files", order: "c" });
});

test("a place in one list is none in another", () => {
  const { next } = partOf(listed({ files: ["a", "b"] }), { of: "things", after: null, limit: 1, matches: all });
  expect(placeOf("things", next)).toEqual({ repo: "files", order: "a" });
  expect(() => placeOf("others", next)).toThrow(HttpProblem);
});

const cursors = [null, [], ["a"], ["a", 1], ["things"], ["things", "a"], ["things", "a", 1], ["things", "a", "b", "c"]];
const texts = cursors.map((cursor) => Buffer.from(JSON.stringify(cursor)).toString("base64url"));

test.each(["", "x", "AAAA", "e30", ...texts, "../..", "💥"])(
  "a cursor that no answer gave is refused: %s",
  (cursor) => {
    expect(() => placeOf("things", cursor)).toThrow(HttpProblem);
  },
);
