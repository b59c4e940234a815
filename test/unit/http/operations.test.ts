import { beforeEach, expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { Operation } from "../../../src/http/schemas/operation.ts";
import type { SiteDesk } from "../../../src/http/site.ts";
import { Metrics } from "../../../src/metrics/metrics.ts";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { Controller } from "../../../src/reconcile/controller.ts";
import { Operations } from "../../../src/reconcile/operations.ts";
import { RecentEvents } from "../../../src/reconcile/recent-events.ts";
import { quiet } from "../../support/fakes.ts";
import { until } from "../../support/fleet.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "../reconcile/rig.ts";
import { serve, type Served } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const [h0, h1] = [makeHost("h0"), makeHost("h1")];

let rig: Rig;
let served: Served;
let operations: Operations;
let desk: SiteDesk | undefined;

/** One sync at a time, which waits for `h0`. */
beforeEach(async () => {
  rig = new Rig();
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" } });
  rig.inventory.set(WEB, [h0, h1]);
  await rig.start();
  const { clock } = rig;
  const controller = new Controller({ repos: [rig.controller], clock });
  operations = new Operations({ controller, clock, limits: { running: 1 } });
  onTestFinished(() => operations[Symbol.asyncDispose]());
  const suspender = { set: () => Promise.reject(new Error("not here")), list: () => Promise.resolve([]) };
  desk = { controller, operations, events: new RecentEvents({ clock }), suspender };
  served = await serve(() => {}, {
    site: {
      version: "0",
      metrics: () => Promise.resolve(""),
      telemetry: new Metrics({ clock: systemClock, version: "0" }).http,
      notReady: () => null,
      desk: () => desk,
    },
  });
  onTestFinished(() => served[Symbol.asyncDispose]());
  rig.transport.hold(h0.key);
});

const sync = (query = "") =>
  fetch(`${served.url}/api/v1/sync${query}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ all: true, full: true }),
  });

/** Waits until the only host that is not held has it. */
async function oneOfTwo(): Promise<void> {
  await until(() => operations.list()[0]?.counts.Synced === 1, 10_000, "the other host");
}

test("one sync too many is told when to come again", async () => {
  const first = (await (await sync()).json()) as Operation;
  const second = await sync();
  expect([second.status, second.headers.get("retry-after")]).toEqual([429, "10"]);
  expect(await second.json()).toMatchObject({ status: 429, title: "Too Many Requests" });
  rig.transport.release(h0.key);
  await until(() => operations.get(first.id)!.phase === "Succeeded", 10_000, "its end");
  expect((await sync()).status).toBe(202);
});

test("whoever waits when the server closes gets the operation as it is", async () => {
  const waiting = sync("?wait=5m");
  await oneOfTwo();
  await served.server.close();
  const answer = await waiting;
  expect(answer.status).toBe(202);
  expect(await answer.json()).toMatchObject({ phase: "Running", counts: { synced: 1, waiting: 1 } });
});

test("whoever waits when this process leads no more gets the operation, which says so; later ones 503", async () => {
  const waiting = sync("?wait=5m");
  await oneOfTwo();
  operations.end(new FssyncError("Interrupted", "another process may lead now"));
  desk = undefined;
  const answer = await waiting;
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({
    phase: "Failed",
    message: "another process may lead now",
    error: { reason: "Interrupted", next: expect.stringContaining("restart") },
    counts: { synced: 1, waiting: 1 },
  });
  expect((await sync()).status).toBe(503);
});

test("a wait ends with its time", async () => {
  const waiting = sync("?wait=60s");
  await oneOfTwo();
  await rig.pass(60_000);
  const answer = await waiting;
  expect([answer.status, answer.headers.get("location")]).toEqual([
    202,
    `/api/v1/operations/${operations.list()[0]!.id}`,
  ]);
});

test("what a list left off is behind its cursor, also when the operation that it names is forgotten", async () => {
  rig.transport.release(h0.key);
  const ids: string[] = [];
  for (let count = 0; count < 5; count += 1) {
    const { id } = (await (await sync()).json()) as Operation;
    ids.unshift(id);
    await until(() => operations.get(id)!.phase === "Succeeded", 10_000, "its end");
    rig.clock.advance(1000);
    await quiet();
  }
  const page = async (query: string) => {
    const answer = await fetch(`${served.url}/api/v1/operations?limit=2${query}`);
    const { items, next } = (await answer.json()) as { items: Operation[]; next?: string };
    return { ids: items.map(({ id }) => id), next };
  };
  const first = await page("");
  const second = await page(`&cursor=${first.next}`);
  expect([first.ids, second.ids]).toEqual([ids.slice(0, 2), ids.slice(2, 4)]);
  // Until the oldest four are an hour old.
  rig.clock.advance(3_600_000 - 2500);
  await quiet();
  expect(operations.list().map(({ id }) => id)).toEqual(ids.slice(0, 2));
  expect(await page(`&cursor=${second.next}`)).toEqual({ ids: [], next: undefined });
});
