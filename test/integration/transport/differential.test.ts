import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { appId, type AppKey } from "../../../src/model/app.ts";
import { hostKey, type Host } from "../../../src/model/host.ts";
import type { DesiredApp } from "../../../src/model/manifest.ts";
import { comparePaths, parentFolders } from "../../../src/model/path.ts";
import { revision } from "../../../src/model/revision.ts";
import { planHost, type AppPlan, type Lagging } from "../../../src/plan/host-plan.ts";
import type { Applied, AppChange, HostChange, KnownFile, Outcome, Transport } from "../../../src/ports/transport.ts";
import { HostRun } from "../../../src/transport/host-run.ts";
import { startFleet, type Fleet } from "../../support/fleet.ts";
import { Snapshots } from "../../support/fleet-change.ts";
import { APPS, commit, edit, halfSynced, type Desired, type Edit, type Files } from "../../support/history.ts";
import { Random } from "../../support/random.ts";
import { transportFactory } from "../../support/transport-factory.ts";
import { treeFacts } from "../../support/tree-facts.ts";

/** More than 500 when asked for. */
const HISTORIES = Number(process.env.FSSYNC_HISTORIES ?? 500);
/** What a failure names comes again with it, alone. */
const ONE = process.env.FSSYNC_HISTORY;
const STEPS = 4;
/** Histories of one host, each in a folder of its own: what a sync costs is hardly more then. */
const TOGETHER = 5;
/** sshd allows ten sessions of one connection. */
const AT_ONCE = 6;
const REVISION = revision("main", "1".repeat(40));
const STAMP = /\.\d{8}T\d{6}\.\d{3}Z$/;

const WAYS = [
  { client: "builtin", batches: true },
  { client: "builtin", batches: false },
  { client: "openssh", batches: false },
] as const;

/** The sync that shall be a batch: plain rsync says here that it had to help. */
const byBatch = new AsyncLocalStorage<{ failed: boolean }>();

/** Syncs that can be batches, of hosts that nobody has touched, and those that were. */
const counts = { syncs: 0, batchable: 0, batches: 0 };

const versions = new Map<string, DesiredApp>();
let fleet: Fleet;
let snapshots: Snapshots;
let transports: Transport[];

beforeAll(async () => {
  fleet = await startFleet({ hosts: WAYS.length, kind: "ports" });
  snapshots = new Snapshots(join(fleet.dir, "snapshots"));
  const secret = async () =>
    new Map([
      ["identity", readFileSync(fleet.identityFile, "utf8")],
      ["known_hosts", fleet.knownHosts],
    ]);
  transports = WAYS.map((way, index) =>
    transportFactory(way)({
      dir: join(fleet.dir, `transport-${index}`),
      secret,
      hostKeys: "strict",
      connectTimeout: 5000,
    }),
  );
});
afterAll(async () => {
  await Promise.all(transports.map((each) => each[Symbol.asyncDispose]()));
  await fleet[Symbol.asyncDispose]();
});

test(
  "whatever happens in Git and on hosts, all ways give the same hosts and the same answers",
  async () => {
    noticePlainRsync();
    const seed = Math.floor(Math.random() * 2 ** 32).toString(36);
    const all = Array.from({ length: Math.ceil(HISTORIES / TOGETHER) }, (_, index) => `${seed}-${index}`);
    const names = (ONE === undefined ? all : [ONE]).values();
    let isOver = false;
    const over = (error: unknown) => {
      isOver = true;
      throw error;
    };
    const lanes = Array.from({ length: AT_ONCE }, async () => {
      for (const name of names) if (!isOver) await new Play(name).play().catch(over);
    });
    for (const lane of await Promise.allSettled(lanes)) if (lane.status === "rejected") throw lane.reason;
    const { syncs, batchable, batches } = counts;
    console.log(`${syncs} syncs, ${batches} of the ${batchable} that could be batches were`);
    expect(batches).toBeGreaterThanOrEqual(0.98 * batchable);
  },
  20 * 60_000,
);

function noticePlainRsync(): void {
  const all = HostRun.prototype.all;
  vi.spyOn(HostRun.prototype, "all").mockImplementation(function (this: HostRun) {
    const batch = byBatch.getStore();
    if (batch) batch.failed = true;
    return all.call(this);
  });
}

/** What the store has of an app. */
interface Stored {
  readonly recorded: DesiredApp | null;
  readonly unfinished: readonly DesiredApp[];
}

/** What happens in Git and by hand to the files below one folder. */
class History {
  readonly folder: string;
  /** Whether it is still known what its files were like. */
  hasBases = true;
  readonly #random: Random;
  readonly #stored = new Map<AppKey, Stored>(APPS.map((app) => [app, { recorded: null, unfinished: [] }]));
  #desired: Desired = new Map(APPS.map((app) => [app, {}]));

  constructor(name: string, folder: string) {
    this.folder = folder;
    this.#random = new Random(name);
  }

  commit(): Desired {
    this.hasBases = true;
    do this.#desired = commit(this.#desired, this.#random);
    while (this.#random.percent(30));
    return this.#desired;
  }

  /** Somebody works on a host that looks like this one, or a sync is ended in the middle. */
  edits(root: string): Edit[] {
    const random = this.#random;
    const edits: Edit[] = [];
    this.hasBases = !random.percent(10);
    if (random.percent(25)) {
      const app = random.pick(APPS);
      const files = commit(this.#desired, random).get(app)!;
      this.note(this.#version(app, files), false);
      edits.push(halfSynced(files, random));
    }
    return [...edits, edit(join(root, this.folder), random)];
  }

  apps(): DesiredApp[] {
    return APPS.map((app) => this.#version(app, this.#desired.get(app)!));
  }

  lagging(): Lagging[] {
    return APPS.flatMap((app) => {
      const desired = this.#version(app, this.#desired.get(app)!);
      const { recorded, unfinished } = this.#stored.get(app)!;
      const full = this.#random.percent(5);
      if (recorded?.digest === desired.digest && unfinished.length === 0 && !full) return [];
      const base = this.hasBases ? recorded : null;
      return [{ desired, recorded, base, unfinished, full, allowPrune: true }];
    });
  }

  /** What came of bringing this. */
  note(desired: DesiredApp, isSynced: boolean): void {
    const app = APPS.find((each) => this.#key(each) === desired.key);
    if (!app) return;
    const { recorded, unfinished } = this.#stored.get(app)!;
    const others = unfinished.filter(({ digest }) => digest !== desired.digest);
    const next = isSynced ? { recorded: desired, unfinished: [] } : { recorded, unfinished: [...others, desired] };
    this.#stored.set(app, next);
  }

  #key(app: AppKey): AppKey {
    return `${app}${this.folder}`;
  }

  #version(app: AppKey, files: Files): DesiredApp {
    const below = Object.entries(files).map(([path, spec]) => [`${this.folder}/${path}`, spec] as const);
    return version(this.#key(app), Object.fromEntries(below));
  }
}

/** One host, three times, with some histories next to each other. */
class Play {
  readonly #histories: readonly History[];
  readonly #random: Random;
  readonly #hosts: readonly Host[];
  readonly #told: string[] = [];
  readonly #name: string;
  #isTouched = false;

  constructor(name: string) {
    this.#name = name;
    this.#random = new Random(name);
    this.#histories = Array.from({ length: TOGETHER }, (_, index) => new History(`${name}-${index}`, `-${index}`));
    this.#hosts = fleet.hosts.map(({ address, port, root }) => {
      mkdirSync(join(root, name));
      return { key: hostKey(address, port), address, port, user: fleet.user, root: join(root, name) };
    });
  }

  async play(): Promise<void> {
    try {
      for (let step = 0; step < STEPS; step++) await this.#step(step);
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      throw new Error([`FSSYNC_HISTORY=${this.#name}`, ...this.#told, cause].join("\n"), { cause: error });
    }
    for (const { root } of this.#hosts) rmSync(root, { recursive: true });
  }

  async #step(step: number): Promise<void> {
    for (const history of this.#histories) this.#tell(`Git${history.folder}`, [...history.commit()]);
    // Where nobody does anything it is a batch that is laid.
    if (step > 0 && this.#random.percent(40)) this.#touch();
    const apps = this.#histories.flatMap((history) => history.apps());
    const lagging = this.#histories.flatMap((history) => history.lagging());
    const plan = planHost(apps, lagging, { prune: true, maxDeletePercent: 100 });
    const sent = plan.apps.filter(({ action }) => action === "send");
    const change = { snapshotRoot: snapshots.root, apps: sent.map(changeOf), emptyFolders: plan.emptyFolders };
    const outcome = await this.#sync({ ...change, keepVersions: 3 });
    for (const { app, desired } of plan.apps)
      for (const history of this.#histories) history.note(desired, !outcome.get(app));
  }

  #touch(): void {
    this.#isTouched = true;
    const history = this.#random.pick(this.#histories)!;
    for (const { root } of this.#hosts) mkdirSync(join(root, history.folder), { recursive: true });
    do
      for (const { what, on } of history.edits(this.#hosts[0]!.root)) {
        this.#tell(`host${history.folder}`, what);
        for (const { root } of this.#hosts) on(join(root, history.folder));
      }
    while (this.#random.percent(30));
  }

  async #sync(change: HostChange): Promise<Outcome> {
    const batch = { failed: false };
    const applied = await Promise.all(
      transports.map((transport, index) => {
        const work = () => bring(transport, this.#hosts[index]!, change);
        return index === 0 ? byBatch.run(batch, work) : work();
      }),
    );
    const [said, ...others] = applied.map((each, index) => answer(each, this.#hosts[index]!));
    const faults = applied.flatMap(({ outcome }) => [...outcome.values()].map((error) => error?.message));
    this.#tell(`by ${batch.failed ? `plain rsync (${applied[0]?.fallback})` : "batch"}`, [said, faults]);
    const isBatchable = !this.#isTouched && canBeBatch(change);
    counts.syncs += 1;
    if (isBatchable) counts.batchable += 1;
    if (isBatchable && !batch.failed) counts.batches += 1;
    for (const other of others) expect(other).toEqual(said);
    const [tree, ...trees] = this.#hosts.map(({ root }) => treeFacts(root));
    for (const other of trees) expect(other).toEqual(tree);
    return applied[0]!.outcome;
  }

  #tell(what: string, it: unknown): void {
    const short = (_: string, value: unknown) => (typeof value === "string" ? value.slice(0, 100) : value);
    this.#told.push(`${what}: ${JSON.stringify(it, short)}`);
  }
}

async function bring(transport: Transport, host: Host, change: HostChange): Promise<Applied> {
  await using prepared = await transport.prepare(change);
  return await transport.apply(host, prepared, { timeout: 60_000, signal: new AbortController().signal });
}

/** A folder that becomes a file, and names that sha256sum writes in another way, are for plain rsync. */
function canBeBatch({ apps }: HostChange): boolean {
  const paths = new Set(apps.flatMap((app) => [...app.send.map(({ path }) => path), ...app.delete]));
  return [...paths].every((path) => !/[\n\\]/.test(path) && !parentFolders(path).some((each) => paths.has(each)));
}

/** Of all that was said what must be the same. */
function answer({ outcome, replaced }: Applied, { root }: Host) {
  const kept = [...replaced].flatMap(([app, files]) =>
    files.map((file) => `${app} ${file.path} ${file.kept?.replace(`${root}/`, "").replace(STAMP, "")}`),
  );
  return { outcome: [...outcome].map(([app, error]) => [app, error?.reason ?? null]), kept: kept.toSorted() };
}

/** As Git would tell it. */
function version(key: AppKey, files: Files): DesiredApp {
  const digest = createHash("sha256").update(JSON.stringify(files)).digest("hex");
  const known = versions.get(`${key} ${digest}`);
  if (known) return known;
  const manifest = snapshots.app(key, files).send.toSorted((a, b) => comparePaths(a.path, b.path));
  const made = { ...appId(key), key, tree: digest, overlay: null, digest, revision: REVISION, manifest };
  versions.set(`${key} ${digest}`, made);
  return made;
}

function changeOf(plan: AppPlan): AppChange {
  const replaces = plan.replaces.map(({ path, blobs }): KnownFile => {
    const known = blobs.map((blob) => snapshots.blobs.get(blob)!);
    const maxSize = Math.max(...known.map(({ size }) => size));
    return { path, checksums: known.map(({ checksum }) => checksum), maxSize };
  });
  return { app: plan.app, send: plan.send, delete: plan.delete, replaces };
}
