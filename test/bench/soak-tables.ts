import { formatDuration, parseDuration } from "../../src/model/duration.ts";
import { until } from "../support/fleet.ts";
import type { World } from "../support/world.ts";
import { benchWorld, fileContents, startController, stopController } from "./bench-world.ts";
import { mib } from "./figures.ts";
import { askSync } from "./fssync-way.ts";
import { noticeDeadConnections } from "./host-faults.ts";
import { heldNow, heldWhenQuiet, leftInDataDir, leftOnHosts, wrongOnHost, type Held } from "./leftovers.ts";
import { markdown } from "./markdown.ts";
import { memoryInUse, type MemoryInUse } from "./probe.ts";
import { Soak } from "./soak.ts";

const FILES = 20;
const MINUTE = 60_000;
/** Milliseconds within which every host has the newest commit, once nothing is done any more. */
const DEADLINE = 300_000;
/** The same, for what nobody needs to end. */
const QUIET = 60_000;
/** The first part of the minutes says how the heap fills, not whether something leaks. */
const WARMING = 0.2;

interface Minute {
  readonly at: number;
  readonly memory: MemoryInUse;
  readonly held: Held;
}

/** Commits every few seconds while connections are cut and hosts are away; what grows, and what is left in the end. */
export async function* soakTables(length: string, hosts: number): AsyncGenerator<string> {
  const duration = parseDuration(length);
  if (duration === undefined) throw new Error(`--soak ${length}: expected a duration such as 60m`);
  await using stack = new AsyncDisposableStack();
  const files = fileContents(FILES, 0);
  // A host that was away for minutes has missed more deletions than the limit lets pass unasked.
  const spec = { git: { interval: "1s" }, sync: { timeout: "10s", maxDeletePercent: 100 } };
  const world = await benchWorld({ hosts, files, spec }, stack);
  noticeDeadConnections(world.fleet);
  const probe = memoryInUse(world.dir);
  const controller = await startController(world, { client: "builtin", env: probe.env });
  const minutes: Minute[] = [];
  const seed = Date.now() % 1_000_000;
  const options = { world, controller, files, seed, pause: 2000, longestFault: 20_000 };
  try {
    await askSync(world);
    const before = heldNow(world, controller);
    const soak = new Soak(options);
    const start = performance.now();
    for (let at = 0; at < duration; at = performance.now() - start) {
      await soak.run(Math.min(MINUTE, duration - at));
      const memory = JSON.parse(await probe.ask(controller)) as MemoryInUse;
      minutes.push({ at: performance.now() - start, memory, held: heldNow(world, controller) });
      process.stderr.write(minuteLine(minutes.at(-1)!, soak));
    }
    await soak.calm(DEADLINE);
    const after = await heldWhenQuiet(world, controller, { deadline: QUIET, before });
    yield summary({ soak, seed, hosts, minutes, before, after });
    yield wrongTable(world, soak.files);
  } finally {
    await stopController(controller);
  }
  yield await leftTable(world);
}

function minuteLine({ at, memory, held }: Minute, { done }: Soak): string {
  const counts = `${done.commits} commits, ${done.cut} cut, ${done.away} away`;
  const memories = `${mib(memory.rss)} MiB resident, ${mib(memory.heap)} MiB heap`;
  return `${formatDuration(at)}: ${counts}; ${memories}; ${said(held)}\n`;
}

function said({ sockets, files, children, sessions, strays }: Held): string {
  return `${sockets} sockets, ${files} open, ${children} children, ${sessions} sessions, ${strays.length} commands on hosts`;
}

function summary(found: {
  soak: Soak;
  seed: number;
  hosts: number;
  minutes: readonly Minute[];
  before: Held;
  after: Held;
}): string {
  const { soak, seed, hosts, minutes, before, after } = found;
  const { commits, cut, away } = soak.done;
  const warm = minutes.slice(Math.floor(minutes.length * WARMING));
  const [first, last] = [warm[0]!, warm.at(-1)!];
  const grown = (of: "rss" | "heap") =>
    `${slope(warm.map(({ at, memory }) => [at, memory[of]])).toFixed(1)} MiB an hour`;
  const rows = [
    ["Length", formatDuration(last.at)],
    ["Commits", String(commits)],
    ["Connections cut, hosts away for a while", `${cut}, ${away}`],
    ["Resident, at the first and the last look", `${mib(first.memory.rss)}, ${mib(last.memory.rss)} MiB`],
    ["Heap, the same", `${mib(first.memory.heap)}, ${mib(last.memory.heap)} MiB`],
    ["Resident, slope", grown("rss")],
    ["Heap, slope", grown("heap")],
    ["Before", said(before)],
    ["Afterwards", said(after)],
    ...after.strays.slice(0, 5).map((title) => ["Left on a host", `\`${title.slice(0, 100)}\``]),
  ];
  return markdown([`Soak, ${hosts} hosts, seed ${seed}`, "Measured"], rows, [1]);
}

function wrongTable({ fleet }: World, files: ReadonlyMap<string, string>): string {
  const wrong = fleet.hosts.map((host) => wrongOnHost(host, files)).filter((found) => found.length > 0);
  return `Hosts with a file too many, too few or wrong: ${wrong.length}. ${wrong.flat().slice(0, 5).join("; ")}\n`;
}

/** The controller has ended. */
async function leftTable(world: World): Promise<string> {
  await until(() => leftOnHosts(world).length === 0, QUIET, "the hosts to be quiet").catch(() => undefined);
  const left = { "on hosts": leftOnHosts(world), "in the data dir": leftInDataDir(world) };
  const processes = world.processes().map(({ command }) => command);
  const rows = Object.entries({ ...left, processes }).map(([where, names]) => {
    return [where, String(names.length), names.slice(0, 3).join(", ")];
  });
  return markdown(["Left when the controller has ended", "Count", "Such as"], rows, [1]);
}

/** Least squares of points of milliseconds and bytes, in MiB an hour. */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (axis: 0 | 1) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const covariance = points.reduce((sum, [at, bytes]) => sum + (at - x) * (bytes - y), 0);
  const variance = points.reduce((sum, [at]) => sum + (at - x) ** 2, 0);
  return variance === 0 ? 0 : ((covariance / variance) * 3_600_000) / 1024 / 1024;
}
