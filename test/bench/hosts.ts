import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { World } from "../support/world.ts";
import { APP, benchWorld, fileContents, inGit, startController, stopController } from "./bench-world.ts";
import { connections, type OpenedConnections } from "./connections.ts";
import { median, mib, perHost, ratio, seconds } from "./figures.ts";
import { FSSYNC, fssyncWay, measuredSync } from "./fssync-way.ts";
import { markdown } from "./markdown.ts";
import { verification } from "./verification.ts";
import {
  ansibleWay,
  BY_HAND,
  handWrittenWay,
  plainRsyncWay,
  type Measured,
  type Surroundings,
  type Way,
} from "./ways.ts";

const FILES = 200;
const CHANGING = "etc/app/conf.d/file-7.conf";
const STEPS = ["first", "changed", "all", "nothing"] as const;
const TITLES = {
  first: `First sync of ${FILES} files, new connections`,
  changed: "One changed file, warm",
  all: `${FILES} changed files, warm`,
  nothing: "Nothing to do",
};
/** Commits of one file, of which the middle counts: a controller of days has seen many. */
const COMMITS = 9;

type Step = (typeof STEPS)[number];
type Found = Map<string, Record<Step, Measured[]>>;

/** All ways in turn, round by round, so that a noisy moment meets them all; then tables of the medians. */
export async function* withHosts(hosts: number, rounds: number): AsyncGenerator<string> {
  await using stack = new AsyncDisposableStack();
  const world = await benchWorld({ hosts, files: fileContents(FILES, 0) }, stack);
  const dir = await mkdtemp(join(tmpdir(), "bench-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const paths = [...fileContents(FILES, 0).keys()];
  const around = { fleet: world.fleet, dir, files: join(dir, "files"), paths, changing: CHANGING };
  await bring(fileContents(FILES, 0), world, around);
  const byHand = [await plainRsyncWay(around), await handWrittenWay(around), await ansibleWay(around)];
  const own = [fssyncWay(world, "builtin"), fssyncWay(world, "openssh")];
  const ways = [...own, ...byHand].filter((way) => way !== undefined);
  const found: Found = new Map();
  for (let round = 1; round <= rounds; round += 1) {
    for (const way of ways) {
      process.stderr.write(`round ${round} of ${rounds}: ${way.name}\n`);
      await measureRound(way, { world, around, round }, found);
    }
  }
  yield* STEPS.map((step) => stepTable(step, found, hosts));
  yield fixedTable(await oneHost(), median(found.get(FSSYNC)!.changed.map(({ cpu }) => cpu)), hosts);
  await layAll(world, around);
  yield connectionTable(await connections(around));
  yield await verificationTable(around);
  yield `${hosts} sshd hosts on loopback, on the same cores; medians of ${rounds}.\n`;
}

async function measureRound(
  way: Way,
  { world, around, round }: { world: World; around: Surroundings; round: number },
  found: Found,
): Promise<void> {
  const mine = found.get(way.name) ?? { first: [], changed: [], all: [], nothing: [] };
  found.set(way.name, mine);
  const contents = contentsFor(round, way);
  await bring(contents, world, around);
  await wipe(world);
  await way.begin?.();
  try {
    mine.first.push(await way.first());
    mine.changed.push(medians(await commits(way, contents.get(CHANGING)!, world, around)));
    await bring(
      [...contents].map(([path, text]) => [path, `${text}all\n`]),
      world,
      around,
    );
    mine.all.push(await way.all());
    mine.nothing.push(await way.nothing());
  } finally {
    await way.end?.();
  }
}

/** One file changes, again and again. */
async function commits(way: Way, text: string, world: World, around: Surroundings): Promise<Measured[]> {
  const found: Measured[] = [];
  for (let commit = 1; commit <= COMMITS; commit += 1) {
    await bring([[CHANGING, `${text}${commit}\n`]], world, around);
    found.push(await way.changed());
  }
  return found;
}

/** Contents that nobody had before. */
function contentsFor(round: number, { name }: Way): Map<string, string> {
  return new Map([...fileContents(FILES, round)].map(([path, text]) => [path, `${text}${name}\n`]));
}

/** To Git, and to the folder that the ways without Git see. */
async function bring(contents: Iterable<[string, string]>, world: World, around: Surroundings): Promise<void> {
  const files = new Map(contents);
  await world.repo.commit(inGit(files));
  for (const [path, text] of files) {
    await mkdir(dirname(join(around.files, path)), { recursive: true });
    await writeFile(join(around.files, path), text);
  }
}

async function wipe(world: World): Promise<void> {
  await Promise.all(
    world.fleet.hosts.map(({ dir }) => rm(join(dir, "etc"), { recursive: true, force: true, maxRetries: 10 })),
  );
}

function stepTable(step: Step, found: Found, hosts: number): string {
  const best = medians(found.get(BY_HAND)![step]);
  const rows = [...found].map(([name, steps]) => {
    const { wall, cpu, peak } = medians(steps[step]);
    const against = name === BY_HAND ? ["", ""] : [ratio(wall, best.wall), ratio(cpu, best.cpu)];
    return [name, seconds(wall), perHost(cpu, hosts), mib(peak), ...against];
  });
  const head = [TITLES[step], "Wall, s", "CPU, ms per host", "Peak, MiB", "× (b), wall", "× (b), CPU"];
  return markdown(head, rows, [1, 2, 3, 4, 5]);
}

/** CPU and wall time of a commit of one file when there is one host: poll, fetch and plan, most of it. */
async function oneHost(): Promise<Pick<Measured, "cpu" | "wall">> {
  await using stack = new AsyncDisposableStack();
  const world = await benchWorld({ hosts: 1, files: fileContents(FILES, 0) }, stack);
  const controller = await startController(world, { client: "builtin" });
  try {
    await measuredSync(world, controller);
    const found: Measured[] = [];
    for (let round = 0; round < COMMITS; round += 1) {
      await world.repo.commit({ [`${APP}/${CHANGING}`]: `${round}\n` });
      found.push(await measuredSync(world, controller));
    }
    return medians(found);
  } finally {
    await stopController(controller);
  }
}

function fixedTable(one: Pick<Measured, "cpu" | "wall">, all: number, hosts: number): string {
  const rows = [
    ["A commit of one file, to one host", one.cpu.toFixed(0)],
    [`The same to ${hosts} hosts`, all.toFixed(0)],
    ["Each host more", ((all - one.cpu) / Math.max(1, hosts - 1)).toFixed(2)],
  ];
  return markdown(["fssync", "CPU, ms"], rows, [1]);
}

function connectionTable(found: readonly OpenedConnections[]): string {
  const rows = found.map(({ client, cpu, memory }) => [`\`${client}\``, cpu.toFixed(1), (memory / 1024).toFixed(0)]);
  return markdown(["A connection", "CPU to open, ms", "Memory, KiB"], rows, [1, 2]);
}

/** Every host has every file, whatever the last way left. */
async function layAll(world: World, around: Surroundings): Promise<void> {
  await wipe(world);
  await Promise.all(world.fleet.hosts.map(({ dir }) => cp(around.files, dir, { recursive: true })));
}

async function verificationTable(around: Surroundings): Promise<string> {
  const ways = await verification(around);
  const rows = ways.map(({ name, measured: { wall, cpu, peak } }) => {
    return [name, seconds(wall), perHost(cpu, around.fleet.hosts.length), mib(peak)];
  });
  return markdown(
    [`Verification of ${FILES} files, warm`, "Wall, s", "CPU, ms per host", "Peak, MiB"],
    rows,
    [1, 2, 3],
  );
}

function medians(found: readonly Measured[]): Measured {
  return {
    wall: median(found.map(({ wall }) => wall)),
    cpu: median(found.map(({ cpu }) => cpu)),
    peak: median(found.map(({ peak }) => peak)),
  };
}
