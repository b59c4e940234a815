import { expect, test } from "vitest";
import { Places } from "../../../../src/http/hooks/places.ts";
import { quiet } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

function make() {
  const clock = new ManualClock();
  return { clock, places: new Places({ most: 2, patience: 8000, clock }) };
}

test("a place that is left is that of whoever waits for longest behind the same key, and of one alone", async () => {
  const { clock, places } = make();
  const [first] = [await places.take("a"), await places.take("a")];
  await expect(places.take("b")).resolves.toBeDefined();
  const entered: number[] = [];
  for (const name of [1, 2]) void places.take("a").then((place) => place && entered.push(name));
  await quiet();
  expect(entered).toEqual([]);
  first![Symbol.dispose]();
  first![Symbol.dispose]();
  await quiet();
  expect(entered).toEqual([1]);
  expect(clock.timers).toBe(1);
});

test("whoever waits for too long gets none, and takes none from the next one", async () => {
  const { clock, places } = make();
  const [first] = [await places.take("a"), await places.take("a")];
  const late = places.take("a");
  clock.advance(8000);
  await expect(late).resolves.toBeUndefined();
  first![Symbol.dispose]();
  await expect(places.take("a")).resolves.toBeDefined();
  expect(clock.timers).toBe(0);
});
