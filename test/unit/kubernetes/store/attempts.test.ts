import { describe, expect, it } from "vitest";
import type { AppKey } from "../../../../src/model/app.ts";
import type { HostKey } from "../../../../src/model/host.ts";
import type { AppRecord, HostRecord } from "../../../../src/model/record.ts";
import type { Revision } from "../../../../src/model/revision.ts";
import { KubernetesStatusStore } from "../../../../src/kubernetes/store/status-store.ts";
import { StatusWriter } from "../../../../src/kubernetes/store/status-writer.ts";
import { lags } from "../../../../src/plan/state.ts";
import { makeFailure, makeRecord, revisionOf } from "../../../support/factories.ts";
import { FakeKubeApi, refusal } from "../../../support/fake-kube-api.ts";
import { quiet, recordedLog } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const SEEDS = 150;
const STEPS = 60;
const APPS: readonly AppKey[] = ["m/e/one", "m/e/two"];
const HOSTS = ["a", "b", "c", "d"];
const CONTENTS = ["d0", "d1", "d2", "d3", "d4"];
const REPO = { namespace: "ns", name: "files", uid: "uid-of-repo" };

interface Desired {
  readonly digest: string;
  readonly revision: Revision;
}

/** A fleet as reconcile keeps it, over the real store, with a model that knows what is really on the hosts. */
class World {
  readonly api = new FakeKubeApi();
  readonly #random: () => number;
  /** Contents of which something may be on the host: by host and app. */
  readonly real = new Map<string, Set<string>>();
  /** Every revision's content. */
  readonly contentOf = new Map<Revision, string>();
  readonly desired = new Map<AppKey, Desired>();
  hosts = new Map<HostKey, HostRecord>();
  store!: KubernetesStatusStore;
  #writer!: StatusWriter;
  #life = { alive: true };
  #held: (() => void)[] = [];
  /** Whether requests of hosts' records are kept waiting. */
  slow = false;
  /** Whether Git may move on between planning and noting. */
  moving = false;
  #revisions = 0;

  constructor(seed: number) {
    this.#random = mulberry32(seed);
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  /** A new process, after whatever befell the last one. */
  async start(): Promise<void> {
    const life = (this.#life = { alive: true });
    const common = { client: this.api, clock: new ManualClock(), log: recordedLog().log };
    this.api.before = async ({ path, method }) => {
      if (this.slow && path.includes("confighosts") && method !== "GET") {
        await new Promise<void>((resolve) => this.#held.push(resolve));
      }
      if (!life.alive) throw refusal(0, "the process is dead");
    };
    this.#writer = new StatusWriter({ ...common, mayWrite: () => life.alive });
    this.store = new KubernetesStatusStore({ ...common, writer: this.#writer, suspended: () => false });
    this.store.register("files", REPO);
    const { hosts, apps } = await this.store.load("files");
    this.hosts = new Map(hosts);
    for (const address of HOSTS) {
      const key = `${address}:22`;
      if (this.hosts.has(key)) continue;
      const records = new Map(APPS.map((app) => [app, makeRecord(null)]));
      this.hosts.set(key, { key, address, port: 22, root: "/", apps: records });
      await this.#save(key);
    }
    for (const [app, { digest, revision }] of apps) this.desired.set(app, { digest, revision });
  }

  /** What was not written yet is lost; of what is under way some may still arrive. */
  async crash(): Promise<void> {
    const life = this.#life;
    const arrive = this.chance(0.5);
    if (!arrive) life.alive = false;
    this.release();
    if (arrive) await Promise.resolve();
    life.alive = false;
    await this.#writer[Symbol.asyncDispose]();
    await quiet();
  }

  release(): void {
    this.slow = false;
    for (const go of this.#held.splice(0)) go();
  }

  async commit(app: AppKey, digest: string): Promise<void> {
    this.#revisions += 1;
    const revision = revisionOf(`${this.#revisions}`);
    this.contentOf.set(revision, digest);
    if (this.desired.get(app)?.digest === digest) return;
    this.desired.set(app, { digest, revision });
    const record = { key: app, digest, revision, seenAt: 1_700_000_000_000, refused: null };
    await this.store.save("files", { apps: new Map([[app, record]]) });
  }

  /** As HostReconciler: note, send, record what came of it; `end` says how it goes. */
  async sync(key: HostKey, { end, full = false }: { end: "done" | "partial" | "untouched" | "cut"; full?: boolean }) {
    const wanted = new Map(this.desired);
    const apps = APPS.filter((app) => wanted.has(app) && (full || lags(this.record(key, app), wanted.get(app)!)));
    if (apps.length === 0) return;
    const before = new Map(apps.map((app) => [app, this.record(key, app)]));
    const noted = apps.filter((app) => this.record(key, app).unfinished.at(-1) !== wanted.get(app)!.revision);
    for (const app of noted) {
      const record = this.record(key, app);
      const unfinished = [...record.unfinished, wanted.get(app)!.revision].slice(-16);
      this.#put(key, app, { ...record, unfinished });
    }
    if (this.moving && this.chance(0.1)) await this.commit(this.pick(APPS), this.pick(CONTENTS));
    if (noted.length > 0) await this.store.begin("files", this.hosts.get(key)!, new Set(noted));
    if (end !== "untouched") {
      for (const app of apps) this.realOf(key, app).add(wanted.get(app)!.digest);
    }
    if (end === "cut") return;
    for (const app of apps) {
      const record = this.record(key, app);
      const { digest, revision } = wanted.get(app)!;
      if (end === "done") {
        this.real.set(`${key} ${app}`, new Set([digest]));
        this.#put(key, app, { ...makeRecord(null), digest, revision, syncedAt: 1_700_000_000_000 });
      } else {
        const unfinished = end === "untouched" ? before.get(app)!.unfinished : record.unfinished;
        this.#put(key, app, { ...record, unfinished, failure: makeFailure() });
      }
    }
    await this.#save(key);
  }

  /** The plan has nothing to send: the host has what Git has. */
  async found(key: HostKey, app: AppKey): Promise<void> {
    const { digest, revision } = this.desired.get(app)!;
    this.#put(key, app, { ...makeRecord(null), digest, revision, syncedAt: 1 });
    await this.#save(key);
  }

  /** Contents that are on a host and that a sync from its record would not reckon with. */
  forgotten(): string[] {
    const found: string[] = [];
    for (const [key, { apps }] of this.hosts) {
      for (const [app, { digest, unfinished, suspected = [] }] of apps) {
        if (digest === null || unfinished.length + suspected.length >= 16) continue;
        const known = new Set([digest, ...[...unfinished, ...suspected].map((each) => this.contentOf.get(each)!)]);
        for (const content of this.realOf(key, app)) if (!known.has(content)) found.push(`${key} ${app} ${content}`);
      }
    }
    return found;
  }

  lagging(): string[] {
    return [...this.hosts].flatMap(([key, { apps }]) =>
      [...apps].filter(([app, record]) => lags(record, this.desired.get(app)!)).map(([app]) => `${key} ${app}`),
    );
  }

  realOf(key: HostKey, app: AppKey): Set<string> {
    const name = `${key} ${app}`;
    if (!this.real.has(name)) this.real.set(name, new Set());
    return this.real.get(name)!;
  }

  record(key: HostKey, app: AppKey): AppRecord {
    return this.hosts.get(key)!.apps.get(app)!;
  }

  async flush(): Promise<void> {
    this.release();
    await this.#writer.flush(new AbortController().signal);
  }

  #put(key: HostKey, app: AppKey, record: AppRecord): void {
    const host = this.hosts.get(key)!;
    this.hosts.set(key, { ...host, apps: new Map([...host.apps, [app, record]]) });
  }

  async #save(key: HostKey): Promise<void> {
    await this.store.save("files", { hosts: new Map([[key, this.hosts.get(key)!]]) });
  }
}

describe("attempts noted once per app", () => {
  it(`never lose a partial transfer, in ${SEEDS} random histories of crashes, failures and reverts`, async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const world = new World(seed);
      await world.start();
      for (const app of APPS) await world.commit(app, "d0");
      world.moving = true;
      for (let step = 0; step < STEPS; step += 1) {
        await randomStep(world);
        expect(world.forgotten(), `seed ${seed}, step ${step}`).toEqual([]);
      }
      await restart(world);
      expect(world.forgotten(), `seed ${seed} at its end`).toEqual([]);
      world.moving = false;
      await endedQuietly(world);
    }
  }, 60_000);

  it("are noted with one write for all hosts that begin", async () => {
    const world = new World(1);
    await world.start();
    for (const app of APPS) await world.commit(app, "d0");
    await world.flush();
    world.api.requests.length = 0;
    await Promise.all(HOSTS.map((address) => world.sync(`${address}:22`, { end: "done" })));
    await world.flush();
    const patched = (kind: string) => world.api.requests.filter(({ path }) => path.includes(kind)).length;
    expect(patched("configapps")).toBe(APPS.length);
    expect(patched("confighosts")).toBe(HOSTS.length);
  });

  it("are as many as reconcile tells apart; then everything is sent", async () => {
    const world = new World(2);
    await world.start();
    await world.commit(APPS[0]!, "d0");
    await world.sync("a:22", { end: "done" });
    await world.sync("b:22", { end: "done" });
    await world.commit(APPS[0]!, "lost");
    await world.sync("a:22", { end: "cut" });
    // Half of them with the content that the host has by its record: they hide nothing.
    for (let n = 0; n < 20; n += 1) {
      await world.commit(APPS[0]!, n % 2 === 0 ? "d0" : `x${n}`);
      await world.sync("b:22", { end: "done" });
    }
    await restart(world);
    expect(world.record("a:22", APPS[0]!).suspected).toHaveLength(16);
    expect(world.record("b:22", APPS[0]!).suspected).toBeUndefined();
  });

  it("are done with when a host turned out to have everything, without a new attempt", async () => {
    const world = new World(4);
    await world.start();
    await world.commit(APPS[0]!, "d0");
    await world.sync("a:22", { end: "done" });
    await world.commit(APPS[0]!, "d1");
    await world.sync("a:22", { end: "cut" });
    await restart(world);
    expect(world.record("a:22", APPS[0]!).suspected).toHaveLength(1);
    await world.found("a:22", APPS[0]!);
    await world.flush();
    await restart(world);
    expect(world.record("a:22", APPS[0]!).suspected).toBeUndefined();
    expect(world.record("a:22", APPS[0]!).digest).toBe("d1");
  });

  it("that were lost with their ConfigApp make the host be sent everything", async () => {
    const world = new World(3);
    await world.start();
    await world.commit(APPS[0]!, "d0");
    await world.sync("a:22", { end: "done" });
    await world.sync("a:22", { end: "done", full: true });
    await world.flush();
    for (const key of world.api.objects.keys()) if (key.includes("configapps")) world.api.objects.delete(key);
    await restart(world);
    expect(world.record("a:22", APPS[0]!).suspected).toHaveLength(16);
  });
});

async function randomStep(world: World): Promise<void> {
  const key = `${world.pick(HOSTS)}:22`;
  const dice = world.pick([
    "commit",
    "done",
    "done",
    "partial",
    "untouched",
    "cut",
    "full",
    "slow",
    "restart",
    "together",
  ]);
  if (dice === "commit") await world.commit(world.pick(APPS), world.pick(CONTENTS));
  else if (dice === "done" || dice === "partial" || dice === "untouched") await world.sync(key, { end: dice });
  else if (dice === "full") await world.sync(key, { end: world.pick(["done", "partial"] as const), full: true });
  else if (dice === "slow") world.slow = !world.slow || (world.release(), false);
  else if (dice === "restart") await restart(world);
  else if (dice === "together") {
    await Promise.all(
      HOSTS.map((host) => world.sync(`${host}:22`, { end: world.pick(["done", "partial", "untouched"] as const) })),
    );
  } else {
    await world.sync(key, { end: "cut" });
    await restart(world);
  }
}

/** A rollout that everybody finished, and one host that was asked for once more: nothing is left to do. */
async function endedQuietly(world: World): Promise<void> {
  for (const app of APPS) await world.commit(app, "the end");
  await Promise.all(HOSTS.map((host) => world.sync(`${host}:22`, { end: "done" })));
  await world.sync("b:22", { end: "done", full: true });
  await world.flush();
  await restart(world);
  expect(world.lagging()).toEqual([]);
}

async function restart(world: World): Promise<void> {
  await world.crash();
  await world.start();
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
