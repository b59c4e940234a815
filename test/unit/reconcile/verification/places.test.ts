import { expect, test } from "vitest";
import { Places } from "../../../../src/reconcile/verification/places.ts";
import { quiet } from "../../../support/fakes.ts";

/** Places whose work ends when the test says so. */
function setUp(count: number) {
  const begun: string[] = [];
  const open = new Map<string, () => void>();
  const work = (item: string) => {
    begun.push(item);
    const { promise, resolve } = Promise.withResolvers<void>();
    open.set(item, resolve);
    return promise;
  };
  const end = async (item: string) => {
    open.get(item)!();
    await quiet();
  };
  return { places: new Places({ count, work }), begun, end };
}

test("so many at a time; the next takes the place that is free, in the order in which they came", async () => {
  const { places, begun, end } = setUp(2);
  for (const item of ["a", "b", "c", "d"]) places.add(item);
  expect([begun, places.waiting]).toEqual([["a", "b"], 2]);
  await end("b");
  expect(begun).toEqual(["a", "b", "c"]);
  await end("c");
  expect([begun, places.waiting]).toEqual([["a", "b", "c", "d"], 0]);
});

test("an item has one place, and comes again when it was added meanwhile", async () => {
  const { places, begun, end } = setUp(2);
  for (const item of ["a", "a", "b"]) places.add(item);
  expect([begun, places.has("a"), places.has("b")]).toEqual([["a", "b"], true, false]);
  await end("a");
  expect(begun).toEqual(["a", "b", "a"]);
});

test("once closed nothing begins", async () => {
  const { places, begun, end } = setUp(1);
  places.add("a");
  places.add("b");
  places.close();
  await end("a");
  places.add("c");
  expect(begun).toEqual(["a"]);
});
