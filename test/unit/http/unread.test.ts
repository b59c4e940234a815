import { beforeEach, expect, onTestFinished, test } from "vitest";
import type { SiteDesk } from "../../../src/http/site.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { AppKey } from "../../../src/model/app.ts";
import type { SuspendTarget } from "../../../src/ports/suspender.ts";
import { Controller } from "../../../src/reconcile/controller.ts";
import { Operations } from "../../../src/reconcile/operations.ts";
import { RecentEvents } from "../../../src/reconcile/recent-events.ts";
import { Metrics } from "../../../src/metrics/metrics.ts";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { FakeGitSource } from "../../support/fakes.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "../reconcile/rig.ts";
import { serve, type Served } from "./rig.ts";

const WEB: AppKey = "env/prod/web";
const APP = { mod: "env", env: "prod", app: "web" };
const QUERY = new URLSearchParams(APP).toString();

let served: Served;
let suspended: SuspendTarget[];

/** A process that has just begun to lead: it knows `web` on `h0` from the store, its mirror is empty, and Git is down. */
beforeEach(async () => {
  const rig = new Rig();
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" } });
  rig.inventory.set(WEB, [makeHost("h0")]);
  await rig.start();
  const source = new FakeGitSource();
  source.error = new FssyncError("FetchFailed", "Git is down");
  await rig.restart({ source });
  const { clock } = rig;
  const controller = new Controller({ repos: [rig.controller], clock });
  const operations = new Operations({ controller, clock });
  onTestFinished(() => operations[Symbol.asyncDispose]());
  suspended = [];
  const suspender = {
    set: async (target: SuspendTarget) => void suspended.push(target),
    list: async () => suspended,
  };
  const desk: SiteDesk = { controller, operations, events: new RecentEvents({ clock }), suspender };
  const telemetry = new Metrics({ clock: systemClock, version: "0" }).http;
  served = await serve(() => {}, {
    compat: { anonymous: false },
    site: { version: "0", metrics: async () => "", telemetry, notReady: () => null, desk: () => desk },
  });
  onTestFinished(() => served[Symbol.asyncDispose]());
});

const post = (path: string, body: object) =>
  fetch(`${served.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

test.for(["/getfile", "/api/get_filelist/", "/sync"])(
  "%s says that Git was not read, not that there is no app",
  async (path) => {
    const answer = await fetch(`${served.url}${path}?${QUERY}`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toMatch(/was not read yet/i);
  },
);

test.for<[string, object]>([
  ["an app", APP],
  ["an app of the repo", { repo: "repo", ...APP }],
  ["a host", { hosts: ["h0"] }],
])("a sync of %s says so too", async ([, body]) => {
  const answer = await post("/api/v1/sync", body);
  expect([answer.status, await answer.json()]).toMatchObject([503, { reason: "SourceUnavailable" }]);
});

test("a sync of a repo that is not there is of an unknown name", async () => {
  expect((await post("/api/v1/sync", { repo: "other" })).status).toBe(404);
});

test("what the store knows is suspended; of what it does not know nobody can say", async () => {
  expect((await post("/api/v1/suspend", { repo: "repo", ...APP })).status).toBe(200);
  expect((await post("/api/v1/suspend", { repo: "repo", host: "h0" })).status).toBe(200);
  expect(suspended).toEqual([
    { repo: "repo", app: WEB },
    { repo: "repo", host: "h0:22" },
  ]);
  expect((await post("/api/v1/suspend", { repo: "repo", ...APP, app: "new" })).status).toBe(503);
  expect((await post("/api/v1/suspend", { repo: "repo", host: "h9" })).status).toBe(503);
});
