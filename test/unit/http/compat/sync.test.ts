import { expect, test } from "vitest";
import { systemClock } from "../../../../src/clock/system-clock.ts";
import type { Site, SiteDesk } from "../../../../src/http/site.ts";
import { Metrics } from "../../../../src/metrics/metrics.ts";
import { FssyncError } from "../../../../src/model/errors.ts";
import type { Begun } from "../../../../src/reconcile/operations.ts";
import type { SyncRequest } from "../../../../src/reconcile/controller.ts";
import { serve } from "../rig.ts";

/** A site on which syncs come to their end at once, as `begun` says. */
function siteWith(begun: (request: SyncRequest) => Begun): Site {
  const operations = { begin: async (request: SyncRequest) => begun(request), wait: async () => {} };
  const controller = { repos: [], repo: () => undefined };
  return {
    version: "0",
    metrics: async () => "",
    telemetry: new Metrics({ clock: systemClock, version: "0" }).http,
    notReady: () => null,
    desk: () => ({ operations, controller }) as unknown as SiteDesk,
  };
}

function over(parts: object): Begun {
  return {
    operation: { finishedAt: 1, error: null, hosts: [], unanswered: [], revisions: [], ...parts },
    repeated: false,
  } as unknown as Begun;
}

async function get(begun: (request: SyncRequest) => Begun, query: string) {
  await using served = await serve(() => {}, { compat: { anonymous: false }, site: siteWith(begun) });
  const answer = await fetch(`${served.url}/sync?${query}`);
  return { status: answer.status, text: await answer.text() };
}

test("asks for everything of the app in full, with what was named and nothing else", async () => {
  const asked: SyncRequest[] = [];
  const begun = (request: SyncRequest) => (asked.push(request), over({}));
  for (const query of ["app=web", "app=web&env=all&mod=", "app=web&env=prod&mod=nginx", "app=web&zone=bx&repo=r"])
    expect(await get(begun, query)).toEqual({ status: 200, text: "[]" });
  expect(asked.map(({ scope }) => scope)).toEqual([
    { app: "web" },
    { app: "web" },
    { app: "web", env: "prod", mod: "nginx" },
    { app: "web", env: "bx", repo: "r" },
  ]);
  for (const { full, allowPrune, needsInventory } of asked)
    expect({ full, allowPrune, needsInventory }).toEqual({ full: true, allowPrune: false, needsInventory: true });
});

test("waits for its turn while too many syncs run", async () => {
  let refused = 0;
  const begun = (): Begun => (refused < 2 ? ((refused += 1), { refused: "TooMany" }) : over({}));
  expect(await get(begun, "app=web")).toEqual({ status: 200, text: "[]" });
  expect(refused).toBe(2);
});

test("says why nothing was done", async () => {
  const failed = (reason: "InventoryFailed" | "InventorySuspicious" | "Interrupted") => () =>
    over({ error: new FssyncError(reason, "the CMDB answered 503") });
  const cmdb = { status: 500, text: '{"msg":"get ip from cmdb failed:the CMDB answered 503"}' };
  expect(await get(failed("InventoryFailed"), "app=web")).toEqual(cmdb);
  expect(await get(failed("InventorySuspicious"), "app=web")).toEqual(cmdb);
  expect(await get(failed("Interrupted"), "app=web")).toMatchObject({ status: 503 });
  expect(await get(() => over({ finishedAt: null }), "app=web")).toMatchObject({ status: 503 });
});

test("is no success while what Git has is not known", async () => {
  const unanswered = [{ repo: "files", about: "git", reason: "FetchFailed", message: "no route" }];
  const revisions = [{ repo: "files", revision: `main@sha1:${"0".repeat(40)}` }];
  const text = '{"msg":"git pull failed:no route; what hosts were sent is main@sha1:00000000"}';
  expect(await get(() => over({ unanswered, revisions }), "app=web")).toEqual({ status: 500, text });
  const ofCmdb = [{ ...unanswered[0], about: "inventory" }];
  expect((await get(() => over({ unanswered: ofCmdb, revisions }), "app=web")).status).toBe(200);
});

test("a loop over many apps is not refused, but for one that never ends", async () => {
  await using served = await serve(() => {}, { compat: { anonymous: false }, site: siteWith(() => over({})) });
  const ask = async () => {
    const answer = await fetch(`${served.url}/sync?app=web`);
    await answer.text();
    return answer;
  };
  for (let app = 0; app < 600; app++) expect((await ask()).status).toBe(200);
  const refused = await ask();
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).not.toBeNull();
});
