import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pino } from "pino";
import { systemClock } from "../../src/clock/system-clock.ts";
import type { KubeClient } from "../../src/kubernetes/client.ts";
import { KubernetesStatusStore } from "../../src/kubernetes/store/status-store.ts";
import { StatusWriter } from "../../src/kubernetes/store/status-writer.ts";
import type { AppKey } from "../../src/model/app.ts";
import { hostKey } from "../../src/model/host.ts";
import type { AppRecord, DesiredRecord, HostRecord } from "../../src/model/record.ts";
import type { Discovery } from "../../src/ports/git-source.ts";
import { GitMirrorSource } from "../../src/source/git-source.ts";
import { until } from "../support/fleet.ts";
import { Candidate } from "../support/kube/candidate.ts";
import { KubeWorld } from "../support/kube-world.ts";
import { startKube } from "../support/kube.ts";
import { fleetFiles } from "../support/repo.ts";
import type { Row } from "./without-hosts.ts";

const HOSTS = 5000;
const APPS = 100;
const APPS_PER_HOST = 10;
/** Hosts of which each changes once, for the rate of writing. */
const CHANGED = 3000;
const NEVER = new AbortController().signal;
const log = pino({ level: "silent" });

/** What 5,000 ConfigHosts cost: objects only, of hosts that have what Git has, so that none is connected to. */
export async function onKubernetes(): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const kube = stack.use(await startKube());
  await kube.applyCrds();
  const files = fleetFiles({ apps: APPS, files: 10 });
  const world = stack.use(await KubeWorld.create({ kube, hosts: 0, files, app: "mod0/prod/app0" }));
  const discovery = await discover(world.world.repo.url, stack);
  const apps = [...discovery.apps.keys()];
  const hosts = Array.from({ length: HOSTS }, (_, number) => hostRecord(number, apps, discovery));
  for (const app of apps) {
    const running = hosts.filter((host) => host.apps.has(app));
    world.world.cmdb.set(
      app,
      running.map(({ address }) => ({ address })),
    );
  }
  await world.apply({ inventory: { interval: "1h" }, git: { interval: "1h" } });
  const rows: Row[] = [];

  const filled = await fill(kube.client(), world, discovery, hosts);
  rows.push({
    what: `${HOSTS} ConfigHosts made, ${APPS_PER_HOST} apps each`,
    figure: seconds(filled.made),
    limit: "-",
  });
  rows.push({ what: "statuses written, one host each", figure: `${filled.rate}/s`, limit: "500/s" });
  rows.push({ what: "CPU of the writer for one of them", figure: `${filled.cpu.toFixed(2)} ms`, limit: "-" });

  const { ready, leads, known, rss, peak } = await measureController(world);
  rows.push({ what: "the controller with 50,000 pairs: start to ready", figure: seconds(ready), limit: "-" });
  rows.push({ what: "the same: start to leading", figure: seconds(leads), limit: "-" });
  rows.push({ what: "the same: start to all read and compared with Git", figure: seconds(known), limit: "-" });
  rows.push({ what: "the same: memory, then and at most", figure: `${rss} MiB, ${peak} MiB`, limit: "300 MiB" });
  return rows;
}

async function discover(url: string, stack: AsyncDisposableStack): Promise<Discovery> {
  const dir = await mkdtemp(join(tmpdir(), "fssync-bench-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const author = { name: "fssync", email: "fssync@example.com" };
  const common = { branch: "main", timeout: 60_000, allowFileUrls: true, owner: "root", group: "root", author };
  const source = stack.use(new GitMirrorSource({ ...common, url, dir, clock: systemClock, log }));
  return await source.discover(await source.poll(NEVER));
}

/** Makes all objects as a controller does whose hosts are synced, and then writes the status of many of them anew. */
async function fill(client: KubeClient, world: KubeWorld, discovery: Discovery, hosts: readonly HostRecord[]) {
  const clock = systemClock;
  await using writer = new StatusWriter({ client, clock, log, mayWrite: () => true });
  await using store = new KubernetesStatusStore({ client, writer, suspended: () => false, clock, log });
  const { metadata } = await world.repo();
  const { revision } = discovery;
  store.register("files", { namespace: world.namespace, name: "files", uid: metadata!.uid! });
  const desired = [...discovery.apps.values()].map(({ key, digest }): [AppKey, DesiredRecord] => [
    key,
    { key, digest, revision, seenAt: clock.now(), refused: null },
  ]);
  const save = async (changed: readonly HostRecord[]) => {
    const began = performance.now();
    await store.save("files", { hosts: new Map(changed.map((host) => [host.key, host])) });
    await writer.flush(NEVER);
    return performance.now() - began;
  };
  await store.save("files", { repo: { revision, problems: [] }, apps: new Map(desired) });
  const made = await save(hosts);
  const again = hosts.slice(0, CHANGED).map((host) => {
    const apps = [...host.apps].map(([app, record]): [AppKey, AppRecord] => [
      app,
      { ...record, syncedAt: clock.now() },
    ]);
    return { ...host, apps: new Map(apps) };
  });
  const before = process.cpuUsage();
  const took = await save(again);
  const { user, system } = process.cpuUsage(before);
  return { made, rate: Math.round((CHANGED / took) * 1000), cpu: (user + system) / 1000 / CHANGED };
}

async function measureController(world: KubeWorld) {
  const began = performance.now();
  await using controller = await Candidate.start({ world, name: "bench", kubeconfig: world.kube.kubeconfig });
  const since = () => performance.now() - began;
  await controller.ready();
  const ready = since();
  await until(() => controller.leads(), 60_000, "the controller to lead");
  const leads = since();
  // Seldom, because each look makes garbage in the process that is measured.
  const synced = async () => (
    await setTimeout(250),
    count(await controller.metrics(), "Synced") === HOSTS * APPS_PER_HOST
  );
  await until(synced, 120_000, "all hosts to be known as synced");
  const known = since();
  if (count(await controller.metrics(), "Pending") > 0) throw new Error("nothing should lag");
  const status = await readFile(`/proc/${controller.pid}/status`, "utf8");
  const mib = (name: string) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) / 1024);
  return { ready, leads, known, rss: mib("VmRSS"), peak: mib("VmHWM") };
}

function count(exposition: string, state: string): number {
  const found = exposition.matchAll(new RegExp(`^fssync_app_hosts\\{.*state="${state}"\\} (\\d+)$`, "gm"));
  return [...found].reduce((sum, [, number]) => sum + Number(number), 0);
}

/** Ten neighbours of the hundred apps. */
function hostRecord(number: number, apps: readonly AppKey[], discovery: Discovery): HostRecord {
  const address = `10.0.${number >> 8}.${number & 255}`;
  const start = (number % (APPS / APPS_PER_HOST)) * APPS_PER_HOST;
  const quiet = { unfinished: [], lagSince: null, failure: null, syncingSince: null };
  const records = apps.slice(start, start + APPS_PER_HOST).map((app): [AppKey, AppRecord] => {
    const { digest } = discovery.apps.get(app)!;
    return [app, { digest, revision: discovery.revision, syncedAt: 1_700_000_000_000, ...quiet }];
  });
  return { key: hostKey(address, 22), address, port: 22, root: "/", apps: new Map(records) };
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
