import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pino } from "pino";
import { systemClock } from "../../src/clock/system-clock.ts";
import { appId, type AppKey } from "../../src/model/app.ts";
import { hostKey, type Host } from "../../src/model/host.ts";
import type { AppRecord, HostRecord } from "../../src/model/record.ts";
import { laggingHosts } from "../../src/plan/lagging.ts";
import { Fleet } from "../../src/reconcile/fleet.ts";
import { planFleet } from "../../src/reconcile/plan-fleet.ts";
import { GitMirrorSource } from "../../src/source/git-source.ts";
import { SqliteStatusStore } from "../../src/store/sqlite-status-store.ts";
import { until } from "../support/fleet.ts";
import { fleetFiles, makeRepo } from "../support/repo.ts";
import { freePort } from "../support/world.ts";

const MAIN = resolve(import.meta.dirname, "../../src/main.ts");
const REPO = "bench";
const HOSTS = 10_000;
const APPS_PER_HOST = 10;
const APPS = 1000;

export interface Row {
  readonly what: string;
  readonly figure: string;
  readonly limit: string;
}

/** What costs time and memory without any host: polls, plans, and 100,000 (host, app) pairs held in memory. */
export async function withoutHosts(): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "fssync-bench-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const repo = stack.use(await makeRepo(fleetFiles({ apps: APPS, files: 10 })));
  const log = pino({ level: "silent" });
  const author = { name: "fssync", email: "fssync@example.com" };
  const common = { branch: "main", timeout: 60_000, allowFileUrls: true, owner: "root", group: "root", author };
  const source = stack.use(new GitMirrorSource({ ...common, url: repo.url, dir, clock: systemClock, log }));
  const signal = new AbortController().signal;
  const rows: Row[] = [];

  const first = await source.discover(await source.poll(signal));
  const [app] = [...first.apps.values()];
  await repo.commit({ [`${app!.key}/${app!.manifest[0]!.path}`]: "changed\n" });
  const commit = await source.poll(signal);
  const [discovery, discovered] = await timed(() => source.discover(commit));
  rows.push({ what: `discovery after a commit, ${APPS} apps × 10 files`, figure: ms(discovered), limit: "300 ms" });
  const polls = await median(async () => (await timed(() => source.poll(signal)))[1]);
  rows.push({ what: "poll without news (one ls-remote, local repo)", figure: ms(polls), limit: "-" });

  const apps = [...discovery.apps.keys()];
  const hosts = Array.from({ length: HOSTS }, (_, number) => makeHost(number));
  const openStore = async () => {
    const opened = new SqliteStatusStore({ file: join(dir, "state.db"), clock: systemClock, log });
    await opened.open();
    return opened;
  };
  {
    await using filling = await openStore();
    const records = hosts.map((host, number) => hostRecord(host, number, apps, discovery.apps));
    await filling.save(REPO, { hosts: new Map(records.map((record) => [record.key, record])) });
  }
  const { ready, rss } = await measureController(dir, repo.url, hosts, apps);
  rows.push({ what: "the controller with 100,000 pairs: memory", figure: `${mib(rss)} MiB`, limit: "300 MiB" });
  rows.push({ what: "the controller with 100,000 pairs: start to first refresh", figure: ms(ready), limit: "-" });

  const store = stack.use(await openStore());
  const [fleet, loaded] = await timed(async () => new Fleet(await store.load(REPO), systemClock));
  rows.push({ what: `status of ${HOSTS * APPS_PER_HOST} pairs loaded from SQLite`, figure: ms(loaded), limit: "-" });
  fleet.setDesired(discovery);
  const answer = new Map<AppKey, Host[]>(apps.map((key) => [key, []]));
  hosts.forEach((host, number) => appsOf(number, apps).forEach((key) => answer.get(key)!.push(host)));
  fleet.setHosts(answer);
  const [unchanged, pass] = await timed(async () => laggingHosts(fleet.hosts.values(), fleet.desired));
  if (unchanged.length > 0) throw new Error("nothing should lag");
  rows.push({ what: "pass over 100,000 pairs, nothing changed", figure: ms(pass), limit: "50 ms" });
  const prune = { prune: true, maxDeletePercent: 20 };
  const everything = await moveAll(repo, source, apps);
  fleet.setDesired(everything);
  const [planned, planning] = await timed(() => planFleet(fleet, { source, prune, clock: systemClock }));
  if (planned.length !== HOSTS) throw new Error(`${planned.length} hosts planned`);
  rows.push({ what: "plan of 100,000 pairs, all lagging", figure: ms(planning), limit: "500 ms" });
  return rows;
}

/** Starts the program itself on a store in which every pair is synced, and looks at it once it has settled. */
async function measureController(dir: string, url: string, hosts: readonly Host[], apps: readonly AppKey[]) {
  const entries = hosts.flatMap(({ address }, number) =>
    appsOf(number, apps).map((key) => ({ address, ...appId(key) })),
  );
  await writeFile(join(dir, "hosts.json"), JSON.stringify(entries));
  // Nobody may be looked at: there are no such hosts.
  const spec = { git: { url }, inventory: { file: { path: "hosts.json" } }, drift: { interval: "0s" } };
  const document = { apiVersion: "fssync.dev/v1alpha1", kind: "ConfigRepo", metadata: { name: REPO }, spec };
  await writeFile(join(dir, "fssync.yaml"), JSON.stringify(document));
  const port = await freePort();
  const args = ["run", "-f", join(dir, "fssync.yaml"), "--data-dir", dir, "--listen", `127.0.0.1:${port}`];
  const flags = ["--allow-file-urls", "--log-level", "warn"];
  const child = spawn(process.execPath, [MAIN, ...args, ...flags], { stdio: ["ignore", "ignore", "inherit"] });
  const started = performance.now();
  const metrics = async () => (await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => undefined))?.text() ?? "";
  try {
    const refreshed = new RegExp(`fssync_inventory_refresh_total{repo="${REPO}",result="success"} [1-9]`);
    // Seldom, because each look makes garbage in the process that is measured.
    const look = async () => (await setTimeout(250), refreshed.test(await metrics()));
    await until(look, 60_000, "the first refresh");
    const ready = performance.now() - started;
    const exposition = await metrics();
    if (!exposition.includes(`fssync_inventory_hosts{repo="${REPO}"} ${HOSTS}`)) throw new Error("not all hosts known");
    if (/state="Pending"} [1-9]/.test(exposition)) throw new Error("nothing should lag");
    const status = await readFile(`/proc/${child.pid}/status`, "utf8");
    return { ready, rss: Number(/VmHWM:\s+(\d+)/.exec(status)![1]) * 1024 };
  } finally {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
}

/** With an address that is set aside for benchmarks: it is nobody's. */
function makeHost(number: number): Host {
  const address = `198.${18 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
  return { key: hostKey(address, 22), address, port: 22, user: "root", root: "/" };
}

/** Ten neighbours of the thousand apps: 100 sets of apps among 10,000 hosts. */
function appsOf(number: number, apps: readonly AppKey[]): AppKey[] {
  const start = (number % (APPS / APPS_PER_HOST)) * APPS_PER_HOST;
  return apps.slice(start, start + APPS_PER_HOST);
}

function hostRecord(
  { key, address, port, root }: Host,
  number: number,
  apps: readonly AppKey[],
  desired: ReadonlyMap<AppKey, Pick<AppRecord, "digest" | "revision">>,
): HostRecord {
  const records = appsOf(number, apps).map((app): [AppKey, AppRecord] => {
    const { digest, revision } = desired.get(app)!;
    const quiet = { unfinished: [], lagSince: null, failure: null, syncingSince: null };
    return [app, { digest, revision, syncedAt: 1_700_000_000_000, ...quiet }];
  });
  return { key, address, port, root, apps: new Map(records) };
}

async function moveAll(repo: Awaited<ReturnType<typeof makeRepo>>, source: GitMirrorSource, apps: readonly AppKey[]) {
  await repo.commit(Object.fromEntries(apps.map((app) => [`${app}/etc/moved.conf`, "new\n"])));
  return await source.discover(await source.poll(new AbortController().signal));
}

async function timed<Result>(work: () => Promise<Result>): Promise<[Result, number]> {
  const start = performance.now();
  const result = await work();
  return [result, performance.now() - start];
}

async function median(measure: () => Promise<number>): Promise<number> {
  const found = [await measure(), await measure(), await measure()];
  return found.sort((a, b) => a - b)[1]!;
}

function ms(milliseconds: number): string {
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

function mib(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
