import { describe, expect, test } from "vitest";
import { Slots } from "../../../../src/reconcile/verification/slots.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = 1_700_000_000_000;
const names = (count: number) => Array.from({ length: count }, (_, index) => `h${index}.example:22`);
const stay = () => true;

function slotsWith(keys: readonly string[], interval = HOUR): Slots<string> {
  const slots = new Slots<string>(interval);
  for (const key of keys) slots.add(key);
  slots.due(START, stay);
  return slots;
}

/** The moment each key comes at within one interval, asked at every slot. */
function moments(keys: readonly string[], from = START): Map<string, number> {
  const slots = slotsWith(keys);
  const found = new Map<string, number>();
  for (let at = from; at <= from + HOUR; at += slots.width) for (const key of slots.due(at, stay)) found.set(key, at);
  return found;
}

describe("the spread", () => {
  test("is even: of 10,000 hosts no slot of 1024 has three times its share, and few have none", () => {
    const slots = slotsWith(names(10_000));
    const sizes: number[] = [];
    for (let slot = 1; slot <= 1024; slot += 1) sizes.push(slots.due(START + slot * slots.width, stay).length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(10_000);
    expect(Math.max(...sizes)).toBeLessThan(30);
    expect(sizes.filter((size) => size === 0).length).toBeLessThan(10);
    // No quarter of an hour has notably more than another.
    for (let quarter = 0; quarter < 4; quarter += 1) {
      const part = sizes.slice(quarter * 256, (quarter + 1) * 256).reduce((sum, size) => sum + size, 0);
      expect(part).toBeGreaterThan(2300);
      expect(part).toBeLessThan(2700);
    }
  });

  test("follows from the names alone: neighbours and restarts move nobody", () => {
    const few = names(50);
    const [alone, among] = [moments(few), moments(names(5000).toReversed())];
    for (const key of few) expect(among.get(key)).toBe(alone.get(key));
    const later = moments(few, START + 7 * HOUR);
    for (const key of few) expect(later.get(key)! - alone.get(key)!).toBeCloseTo(7 * HOUR, 3);
  });

  test.for([50, 100, 1000, 60_000, HOUR, 30 * DAY])(
    "no slot of an interval of %s ms is shorter than it is worth",
    (interval) => {
      const { width } = new Slots<string>(interval);
      expect(width).toBeGreaterThanOrEqual(Math.min(interval, 100));
      expect(interval / width).toBeLessThanOrEqual(1024);
      expect(Number.isInteger(Math.round((interval / width) * 1e6) / 1e6)).toBe(true);
    },
  );
});

describe("turns", () => {
  test.for([1, 1000, HOUR / 1024, 7777, 10 * 60_000])(
    "each key comes once an interval over a day, asked every %s ms or so",
    (pause) => {
      const keys = names(200);
      const slots = slotsWith(keys);
      const turns = new Map<string, number[]>(keys.map((key) => [key, []]));
      // Never less often than a slot's worth of milliseconds matters: a day has 86 million of them.
      const step = Math.max(pause, 500);
      for (let at = START; at <= START + DAY; at += step)
        for (const key of slots.due(at, stay)) turns.get(key)!.push(at);
      for (const times of turns.values()) {
        expect(times.length).toBeGreaterThanOrEqual(23);
        expect(times.length).toBeLessThanOrEqual(24);
        for (const [index, time] of times.entries()) {
          if (index > 0) expect(Math.abs(time - times[index - 1]! - HOUR)).toBeLessThanOrEqual(step + slots.width);
        }
      }
    },
  );

  test("the first call begins: nobody comes with the start of the process", () => {
    const slots = new Slots<string>(HOUR);
    for (const key of names(5000)) slots.add(key);
    expect(slots.due(START, stay)).toEqual([]);
    expect(slots.due(START, stay)).toEqual([]);
  });

  test("after a pause of days each key comes once", () => {
    const keys = names(300);
    const slots = slotsWith(keys);
    expect(slots.due(START + 3 * DAY + 12_345, stay).toSorted()).toEqual(keys.toSorted());
    expect(slots.due(START + 3 * DAY + 12_345, stay)).toEqual([]);
  });

  test("after the clock was set back they go on from there, and none comes twice for it", () => {
    const keys = names(300);
    const slots = slotsWith(keys);
    slots.due(START + HOUR, stay);
    expect(slots.due(START - DAY, stay)).toEqual([]);
    const seen: string[] = [];
    for (let at = START - DAY; at < START - DAY + HOUR; at += slots.width) seen.push(...slots.due(at, stay));
    expect(seen.length).toBe(new Set(seen).size);
    expect(seen.length).toBeGreaterThan(290);
  });

  test("after the clock was set forward each key comes once, and then at its turns", () => {
    const keys = names(300);
    const slots = slotsWith(keys);
    const ahead = START + 400 * DAY;
    expect(slots.due(ahead, stay)).toHaveLength(300);
    const seen: string[] = [];
    for (let at = ahead + slots.width; at <= ahead + HOUR; at += slots.width) seen.push(...slots.due(at, stay));
    expect(seen.toSorted()).toEqual(keys.toSorted());
  });

  test("a key that comes has its turn within an interval; one that is added again has one turn", () => {
    const slots = slotsWith([]);
    slots.due(START + 1000, stay);
    for (let times = 0; times < 3; times += 1) slots.add("new:22");
    expect(slots.due(START + 1000 + HOUR, stay)).toEqual(["new:22"]);
  });

  test("a key that went is forgotten at its turn, and comes again when it is added again", () => {
    const slots = slotsWith(names(10));
    expect(slots.due(START + HOUR, (key) => key !== "h3.example:22")).toHaveLength(9);
    expect(slots.due(START + 2 * HOUR, stay)).toHaveLength(9);
    slots.add("h3.example:22");
    expect(slots.due(START + 3 * HOUR, stay)).toHaveLength(10);
  });
});
