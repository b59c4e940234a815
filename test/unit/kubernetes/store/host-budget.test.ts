import { describe, expect, it } from "vitest";
import type { AppOnHost } from "../../../../src/config/resources.ts";
import { withinBudget } from "../../../../src/kubernetes/store/host-budget.ts";
import { jsonBytes } from "../../../../src/kubernetes/store/shorten.ts";
import { driftOnHost } from "../../../../src/kubernetes/store/stored-drift.ts";
import { DRIFT_CHANGES, type Drift, type DriftChange } from "../../../../src/model/drift.ts";

const NOW = 1_700_000_000_000;
/** What is left of the object's 97 KiB for its apps. */
const ROOM = 94 * 1024;

describe("the room of a ConfigHost's apps", () => {
  it("is no reason to cut anything while all of it fits", () => {
    const apps = appsOf(20, { drift: driftOf(20), message: "disk full" });
    expect(withinBudget(apps)).toEqual(apps);
  });

  it.each([
    ["differ", 100, 0],
    ["were laid over", 0, 50],
    ["differ or were laid over", 100, 50],
  ])("holds 200 apps that each have 100 files that %s, and every count", (_, files, replaced) => {
    const cut = withinBudget(appsOf(200, { drift: driftOf(files, replaced) }));
    expect(jsonBytes(cut)).toBeLessThanOrEqual(ROOM);
    expect(jsonBytes(cut)).toBeGreaterThan(ROOM - 4096);
    expect(cut.map(({ drift }) => drift?.count)).toEqual(Array.from({ length: 200 }, () => files));
    expect(cut.every(({ drift }) => drift!.files?.length !== 0 && drift!.replaced?.length !== 0)).toBe(true);
  });

  it("is shared by messages and files: neither takes all of it", () => {
    const message = "rsync: [receiver] mkstemp failed: ".repeat(10);
    const cut = withinBudget(appsOf(200, { drift: driftOf(100), message }));
    expect(jsonBytes(cut)).toBeLessThanOrEqual(ROOM);
    const shown = cut.flatMap(({ drift }) => drift?.files ?? []).length;
    expect(shown).toBeGreaterThan(50);
    expect(cut.every((app) => app.message!.length > 20)).toBe(true);
  });

  it("is the messages' where there are few files, and the files' where there are few messages", () => {
    const message = "m".repeat(1000);
    const few = withinBudget([...appsOf(150, { message }), ...appsOf(1, { drift: driftOf(3) })]);
    expect(few.at(-1)?.drift?.files).toHaveLength(3);
    expect(jsonBytes(few)).toBeGreaterThan(ROOM - 1024);
    const [first, ...rest] = withinBudget([...appsOf(1, { message }), ...appsOf(150, { drift: driftOf(100) })]);
    expect(first!.message).toBe(message);
    expect(jsonBytes([first, ...rest])).toBeGreaterThan(ROOM - 1024);
  });

  it("is given to the worst changes first, in the order of their paths still", () => {
    const changes = ["mode", "content", "missing", "owner", "conflict"] as const;
    const [app] = withinBudget([...appsOf(1, { drift: many(changes, 500) })]);
    const shown = app!.drift!.files!;
    const worst = shown.filter(({ change }) => change !== "content");
    expect(new Set(worst.map(({ change }) => change))).toEqual(new Set(["conflict", "missing"]));
    expect(worst).toHaveLength(1000);
    expect(shown.map(({ path }) => path)).toEqual(shown.map(({ path }) => path).toSorted());
    expect(app!.drift!.count).toBe(2500);
  });

  it("is given to every app before one has more, and to the newest of what was laid over", () => {
    const cut = withinBudget(appsOf(100, { drift: driftOf(100, 50) }));
    const counts = cut.map(({ drift }) => drift!.files!.length);
    expect(Math.min(...counts)).toBeGreaterThan(0);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    const newest = NOW + 49;
    expect(cut.every(({ drift }) => drift!.replaced!.at(-1)!.at === new Date(newest).toISOString())).toBe(true);
  });

  it("is not lost to one path that is longer than all of it", () => {
    const long = { path: "p".repeat(ROOM), change: "conflict", since: NOW } as const;
    const [app] = withinBudget(appsOf(1, { drift: { ...driftOf(5), files: [long, ...driftOf(5).files], count: 6 } }));
    expect(app!.drift).toEqual({ ...driftOnHost(driftOf(5)), count: 6 });
  });

  it("counts what Go writes as six bytes", () => {
    const files = driftOf(100).files.map((file) => ({ ...file, path: `<&>${file.path}` }));
    const cut = withinBudget(appsOf(200, { drift: { ...driftOf(100), files } }));
    expect(asGo(cut)).toBeLessThanOrEqual(ROOM);
    expect(asGo(cut)).toBeGreaterThan(ROOM - 1024);
  });
});

function appsOf(count: number, { drift, message }: { drift?: Drift; message?: string }): AppOnHost[] {
  return Array.from({ length: count }, (_, n) => ({
    app: `infrastructure/production/frontend-${n}`,
    state: "Drifted",
    revision: `main@sha1:${"a".repeat(40)}`,
    digest: "d".repeat(64),
    syncedAt: new Date(NOW).toISOString(),
    ...(message !== undefined && { message }),
    ...(drift && { drift: driftOnHost(drift) }),
  }));
}

function driftOf(count: number, laidOver = 0): Drift {
  const at = (index: number) => ({
    path: `etc/nginx/conf.d/site-${String(index).padStart(4, "0")}.conf`,
    change: change(index),
  });
  return {
    files: Array.from({ length: count }, (_, index) => ({ ...at(index), since: NOW })),
    count,
    replaced: Array.from({ length: laidOver }, (_, index) => ({
      ...at(index),
      at: NOW + index,
      kept: `/kept/${index}`,
    })),
  };
}

function many(changes: readonly DriftChange[], times: number): Drift {
  const count = changes.length * times;
  const files = Array.from({ length: count }, (_, index) => ({
    path: `etc/${String(index).padStart(4, "0")}`,
    change: changes[index % changes.length]!,
    since: NOW,
  }));
  return { files, count, replaced: [] };
}

function change(index: number): DriftChange {
  return DRIFT_CHANGES[index % DRIFT_CHANGES.length]!;
}

function asGo(value: unknown): number {
  const text = JSON.stringify(value);
  return Buffer.byteLength(text) + (text.split(/[<>&]/).length - 1) * 5;
}
