import { expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import { Resyncs, type Asked } from "../../../src/kubernetes/resyncs.ts";
import { quiet } from "../../support/fakes.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "../reconcile/rig.ts";

const WEB: AppKey = "nginx/prod/web";
const [h0, h1] = [makeHost("h0"), makeHost("h1")];

function asked(token: string, more: Partial<Pick<Asked, "app" | "host" | "handled" | "uid">> = {}): Asked {
  const kind = more.host ? "ConfigHost" : more.app ? "ConfigApp" : "ConfigRepo";
  const name = more.host ?? more.app ?? "repo";
  return { ref: { kind, namespace: "ns", name }, uid: name, token, handled: undefined, ...more };
}

async function setUp({ known = true } = {}) {
  const rig = new Rig();
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.source.push({ [WEB]: { a: "1" } });
  if (known) rig.inventory.set(WEB, [h0, h1]);
  else rig.inventory.silent.add(WEB);
  await rig.start();
  rig.transport.applies.length = 0;
  const echoed: string[] = [];
  const said: string[] = [];
  const resyncs = new Resyncs({
    controller: rig.controller,
    events: { record: (_, _type, reason, message) => void said.push(`${reason} ${message}`) },
    handled: ({ ref, token }) => void echoed.push(`${ref.kind} ${token}`),
    clock: rig.clock,
    log: rig.log.log,
  });
  const end = new AbortController();
  onTestFinished(() => end.abort());
  const take = (...all: Asked[]) => resyncs.take(all, end.signal);
  return { rig, take, echoed, said, end, resyncs };
}

test("a token syncs every host in full, and is echoed when all were attempted and not before", async () => {
  const { rig, take, echoed, said } = await setUp();
  rig.transport.hold(h1.key);
  take(asked("1"));
  await quiet();
  expect(rig.transport.applies.map(({ host }) => host)).toEqual([h0.key, h1.key]);
  expect(echoed).toEqual([]);
  rig.transport.release(h1.key);
  await quiet();
  expect(echoed).toEqual(["ConfigRepo 1"]);
  expect(said).toEqual(["ResyncRequested token 1"]);
});

test("a host that fails was attempted", async () => {
  const { rig, take, echoed } = await setUp();
  rig.transport.refuses = (host) => (host === h0.key ? new FssyncError("ConnectTimeout", "no answer") : null);
  take(asked("1", { app: WEB }));
  await quiet();
  expect(echoed).toEqual(["ConfigApp 1"]);
});

test("the same token seen again while it is carried out is one request", async () => {
  const { rig, take, echoed } = await setUp();
  rig.transport.hold(h0.key);
  for (let look = 0; look < 3; look += 1) {
    take(asked("1", { host: h0.key }));
    await quiet();
  }
  rig.transport.release(h0.key);
  await quiet();
  expect([rig.transport.applies.length, echoed]).toEqual([1, ["ConfigHost 1"]]);
});

test("two tokens in quick succession are both carried out, and the newer one is what is echoed", async () => {
  const { rig, take, echoed } = await setUp();
  rig.transport.hold(h0.key);
  take(asked("1", { host: h0.key }));
  await quiet();
  take(asked("2", { host: h0.key }));
  await quiet();
  rig.transport.release(h0.key);
  await quiet();
  expect(rig.transport.applies.map(({ host }) => host)).toEqual([h0.key, h0.key]);
  expect(echoed).toEqual(["ConfigHost 2"]);
});

test("the token that was handled before is carried out again when it follows another one", async () => {
  const { rig, take, echoed } = await setUp();
  rig.transport.hold(h0.key);
  take(asked("B", { host: h0.key, handled: "A" }));
  await quiet();
  take(asked("A", { host: h0.key, handled: "A" }));
  await quiet();
  rig.transport.release(h0.key);
  await quiet();
  expect([rig.transport.applies.length, echoed]).toEqual([2, ["ConfigHost A"]]);
});

test("a request that came before an equal one does not echo it early", async () => {
  const { rig, take, echoed } = await setUp();
  rig.transport.hold(h0.key);
  for (const token of ["A", "B", "A"]) {
    take(asked(token, { host: h0.key }));
    await quiet();
  }
  expect(echoed).toEqual([]);
  rig.transport.release(h0.key);
  await quiet();
  expect(echoed).toEqual(["ConfigHost A"]);
});

test("what was handled is not carried out; an object made anew is another one", async () => {
  const { rig, take, echoed } = await setUp();
  take(asked("1", { host: h0.key, uid: "old", handled: "1" }));
  await quiet();
  expect(rig.transport.applies).toHaveLength(0);
  take(asked("1", { host: h0.key, uid: "new" }));
  await quiet();
  expect([rig.transport.applies.length, echoed]).toEqual([1, ["ConfigHost 1"]]);
});

test("many objects share one look at Git and inventory", async () => {
  const { rig, take, echoed } = await setUp();
  const { polls } = rig.source;
  take(asked("1", { host: h0.key }), asked("1", { host: h1.key }), asked("1", { app: WEB }));
  await quiet();
  expect(rig.source.polls).toBe(polls + 1);
  expect(echoed).toHaveLength(3);
});

test("while Git or the inventory have said nothing the token waits", async () => {
  const { rig, take, echoed } = await setUp({ known: false });
  take(asked("1"));
  await rig.pass(5000, 500);
  expect(echoed).toEqual([]);
  rig.inventory.silent.clear();
  rig.inventory.set(WEB, [h0]);
  await rig.pass(40_000, 1000);
  expect(echoed).toEqual(["ConfigRepo 1"]);
  expect(rig.transport.appliesTo(h0.key).length).toBeGreaterThan(0);
});

test("works while polling is suspended, by what is known", async () => {
  const { rig, take, echoed } = await setUp();
  rig.controller.suspend({ repo: true, apps: new Set(), hosts: new Set() });
  const { polls } = rig.source;
  take(asked("1"));
  await quiet();
  expect([rig.source.polls, echoed, rig.transport.applies.length]).toEqual([polls, ["ConfigRepo 1"], 2]);
});

test("nothing is echoed once it was told to end", async () => {
  const { rig, take, echoed, end, resyncs } = await setUp();
  rig.transport.hold(h0.key);
  take(asked("1"));
  await quiet();
  end.abort();
  await resyncs.ended();
  rig.transport.release(h0.key);
  await quiet();
  expect(echoed).toEqual([]);
});
