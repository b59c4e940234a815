import { expect, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import { Requests, type AppWish } from "../../../src/reconcile/requests.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const FULL: AppWish = { full: true, allowPrune: null };
const PRUNE: AppWish = { full: false, allowPrune: "d1" };

function wishes(host: string, apps: Record<string, AppWish>) {
  return new Map([[host, new Map(Object.entries(apps) as [AppKey, AppWish][])]]);
}

test("a request for no host is finished at once", async () => {
  const operation = new Requests().open(new Map());
  await operation.finished;
  expect(operation.hosts.size).toBe(0);
});

test("a request is finished when each of its hosts was attempted, counting down", async () => {
  const requests = new Requests();
  const operation = requests.open(new Map([...wishes("a", { [WEB]: FULL }), ...wishes("b", { [WEB]: FULL })]));
  const seen: [string, number][] = [];
  operation.onAttempted((key, left) => void seen.push([key, left]));
  requests.take("b").attempted();
  requests.take("b").attempted();
  requests.take("a").attempted();
  await operation.finished;
  expect(seen).toEqual([
    ["b", 1],
    ["a", 0],
  ]);
});

test("wishes are taken once", () => {
  const requests = new Requests();
  requests.open(wishes("a", { [WEB]: FULL }));
  expect(requests.take("a").wishes.get(WEB)).toEqual(FULL);
  expect(requests.take("a").wishes.size).toBe(0);
});

test("two requests for one host are one attempt with the wishes of both", async () => {
  const requests = new Requests();
  const both = [
    requests.open(wishes("a", { [WEB]: FULL })),
    requests.open(wishes("a", { [WEB]: PRUNE, [API]: PRUNE })),
  ];
  const taken = requests.take("a");
  expect(taken.wishes).toEqual(
    new Map([
      [WEB, { full: true, allowPrune: "d1" }],
      [API, PRUNE],
    ]),
  );
  taken.attempted();
  await Promise.all(both.map(({ finished }) => finished));
});

test("a request that comes during an attempt is not finished by it", async () => {
  const requests = new Requests();
  requests.open(wishes("a", { [WEB]: FULL }));
  const attempt = requests.take("a");
  let finished = false;
  void requests.open(wishes("a", { [WEB]: FULL })).finished.then(() => (finished = true));
  attempt.attempted();
  await Promise.resolve();
  expect(finished).toBe(false);
  expect(requests.take("a").wishes.get(WEB)).toEqual(FULL);
});

test("wishes that were not fulfilled hold for the next attempt, and nobody waits for it", () => {
  const requests = new Requests();
  const operation = requests.open(wishes("a", { [WEB]: FULL, [API]: FULL }));
  const seen: string[] = [];
  operation.onAttempted((key) => void seen.push(key));
  const attempt = requests.take("a");
  attempt.keep(new Set([API]));
  attempt.attempted();
  const next = requests.take("a");
  expect([...next.wishes.keys()]).toEqual([API]);
  next.attempted();
  expect(seen).toEqual(["a"]);
});

test("of two changes whose deletes were allowed the later one holds", () => {
  const requests = new Requests();
  requests.open(wishes("a", { [WEB]: PRUNE }));
  const attempt = requests.take("a");
  requests.open(wishes("a", { [WEB]: { full: false, allowPrune: "d2" } }));
  attempt.keep();
  expect(requests.take("a").wishes.get(WEB)).toEqual({ full: false, allowPrune: "d2" });
});

test("an attempt that nobody asked for keeps nothing", () => {
  const requests = new Requests();
  const attempt = requests.take("a");
  attempt.keep();
  attempt.attempted();
  expect(requests.take("a").wishes.size).toBe(0);
});

test("once nothing is attempted any more, what is open ends with the reason, and so does what is opened later", async () => {
  const requests = new Requests();
  const over = new FssyncError("Interrupted", "the repo is gone");
  const both = requests.open(new Map([...wishes("a", { [WEB]: FULL }), ...wishes("b", { [WEB]: FULL })]));
  const done = requests.open(wishes("a", { [WEB]: FULL }));
  const seen: string[] = [];
  both.onAttempted((key) => void seen.push(key));
  requests.take("a").attempted();
  requests.close(over);
  await expect(both.finished).rejects.toBe(over);
  await done.finished;
  expect(seen).toEqual(["a"]);
  await expect(requests.open(wishes("b", { [WEB]: FULL })).finished).rejects.toBe(over);
  await requests.open(new Map()).finished;
});
