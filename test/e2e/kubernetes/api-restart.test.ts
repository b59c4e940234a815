import { afterAll, beforeAll, expect, test } from "vitest";
import type { Operation } from "../../../src/http/schemas/operation.ts";
import { until } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";

const WEB = "nginx/prod/web";
const READS = ["/api/v1/repos", "/api/v1/hosts", `/api/v1/apps/files/${WEB}`, `/files/files/${WEB}/etc/a.conf`];

describeOwnKube("the API while a ConfigRepo is taken up", () => {
  let kube: Kube;

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());

  /** Asks for everything again and again; the first answer of each kind: its status, and whether it is a list of nothing. */
  function probing(url: string) {
    const seen = new Map<string, string>();
    const done = new AbortController();
    const ended = (async () => {
      while (!done.signal.aborted) {
        for (const path of READS) {
          const answer = await fetch(url + path).catch(() => undefined);
          const text = await answer?.text();
          if (!answer) continue;
          const what = `${answer.status}${text!.includes('"items":[]') ? " of nothing" : ""}`;
          seen.set(what, seen.get(what) ?? text!);
        }
      }
    })();
    const end = async () => {
      done.abort();
      await ended;
      return seen;
    };
    return { seen, end };
  }

  test("says that it is being started, and never that nothing is there", async () => {
    await using world = await KubeWorld.create({ kube, hosts: 2, files: { [`${WEB}/etc/a.conf`]: "0\n" } });
    await world.apply({ git: { interval: "1d" }, sync: { concurrency: 1 } });
    const first = await world.start("a");
    await world.settled(2);

    // A change of the specification, with an operation under way whose second host waits for its turn.
    const hosts = world.world.fleet.hosts;
    for (const host of hosts) await host.freeze();
    const operation = await post(first.url, { all: true, full: true });
    expect(operation.status).toBe(202);
    const { id } = (await operation.json()) as Operation;
    const told = (at = 0) => events.slice(at);
    let events = "";
    const leaving = new AbortController();
    const watch = await fetch(`${first.url}/api/v1/hosts?watch=true`, { signal: leaving.signal });
    const reading = (async () => {
      for await (const piece of watch.body!.pipeThrough(new TextDecoderStream())) events += piece;
    })().catch(() => {});
    await until(() => events.includes("event: synced"), 20_000, "all hosts to be told");
    const before = events.length;
    const probe = probing(first.url);
    await world.apply({ git: { interval: "1d" }, sync: { concurrency: 7 } });
    const followed = async () => (await (await fetch(`${first.url}/api/v1/operations/${id}`)).json()) as Operation;
    await until(async () => (await followed()).phase === "Failed", 60_000, "the operation to end");
    expect(await followed()).toMatchObject({ message: expect.stringContaining("ask again") as string });
    for (const host of hosts) await host.thaw();
    await until(() => probe.seen.has("503"), 60_000, "the repo to be started anew");
    await until(async () => (await fetch(`${first.url}/api/v1/hosts`)).status === 200, 60_000, "it to be back");
    const seen = await probe.end();
    expect([...seen.keys()].toSorted()).toEqual(["200", "503"]);
    expect(JSON.parse(seen.get("503")!)).toMatchObject({ reason: "RepoStarting" });
    expect(told(before)).not.toContain("event: deleted");
    leaving.abort();
    await reading;

    // A process that begins to lead.
    await first.stop();
    const second = await world.launch("b");
    const begun = probing(second.url);
    await until(() => begun.seen.has("200"), 60_000, "the second process to answer");
    expect([...(await begun.end()).keys()].toSorted()).toEqual(["200", "503"]);
    const all = await post(second.url, { all: true }, "?wait=30s");
    expect(((await all.json()) as Operation).counts).toMatchObject({ total: 2 });
  }, 180_000);

  function post(url: string, body: object, query = ""): Promise<Response> {
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    return fetch(`${url}/api/v1/sync${query}`, init);
  }
});
