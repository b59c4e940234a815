import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { table } from "../../src/cli/table.ts";
import { namespaceUnavailable, until } from "../support/fleet.ts";
import { World } from "../support/world.ts";
import {
  ansibleWay,
  controlSocket,
  fssyncWay,
  handWrittenWay,
  plainRsyncWay,
  type Measured,
  type Surroundings,
  type Way,
} from "./ways.ts";
import { verification } from "./verification.ts";
import { onKubernetes } from "./kubernetes.ts";
import { withoutHosts, type Row } from "./without-hosts.ts";

const APP = "nginx/prod/web";
const FILES = 200;
const CHANGING = "etc/app/conf.d/file-7.conf";
const ROUNDS = 3;
const STEPS = ["first", "changed", "nothing"] as const;
const TITLES = { first: `first sync of ${FILES} files`, changed: "one changed file, warm", nothing: "nothing to do" };

type Step = (typeof STEPS)[number];

const { values: options } = parseArgs({
  options: {
    hosts: { type: "string", default: "200" },
    rounds: { type: "string", default: String(ROUNDS) },
    "without-hosts": { type: "boolean", default: false },
    kubernetes: { type: "boolean", default: false },
  },
});

print(`fssync bench, ${new Date().toISOString().slice(0, 10)}, Node ${process.version}\n\n`);
if (options.kubernetes) printRows("KUBERNETES", await onKubernetes());
else await standalone();

async function standalone(): Promise<void> {
  printRows("WITHOUT HOSTS", await withoutHosts());
  const unavailable = namespaceUnavailable();
  if (unavailable !== undefined) print(`\nThe rest needs a fleet in a network namespace: ${unavailable}.\n`);
  else if (!options["without-hosts"]) await withHosts(Number(options.hosts), Number(options.rounds));
}

/** All ways in turn, round by round, so that a noisy moment meets them all; then the medians. */
async function withHosts(hosts: number, rounds: number): Promise<void> {
  const contents = fileContents(0);
  const files = Object.fromEntries([...contents].map(([path, text]) => [`${APP}/${path}`, text]));
  // In memory: creating and wiping 40,000 files on a disk would be what is measured.
  const memory = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "bench-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(memory, { recursive: true, force: true }));
  const world = stack.use(await World.create({ kind: "namespace", hosts, files, app: APP, dir: memory }));
  // Asked, not polled: what is measured is the work, not the wait for the next poll.
  const calm = { git: { interval: "1h" }, inventory: { interval: "1h", http: undefined as never } };
  await writeFile(join(world.dir, "hosts.json"), JSON.stringify(world.fleet.hosts.map(hostObject)));
  await world.configure({ ...calm, inventory: { ...calm.inventory, file: { path: "hosts.json" } } });
  const dir = await mkdtemp(join(tmpdir(), "bench-"));
  try {
    const around = { fleet: world.fleet, dir, files: join(dir, "files"), changing: CHANGING };
    await writeFiles(around.files, contents);
    const byHand = [await plainRsyncWay(around), await handWrittenWay(around), await ansibleWay(around)];
    const found = new Map<string, Record<Step, Measured[]>>();
    for (let round = 1; round <= rounds; round += 1) {
      const controller = await freshController(world);
      for (const way of [fssyncWay(controller, world.dataDir), ...byHand]) {
        if (!way) continue;
        print(`\rround ${round} of ${rounds}: ${way.name.padEnd(40)}`, process.stderr);
        await wipe(world);
        await measureRound(way, found, async (step) => {
          if (step !== "changed") return;
          const text = fileContents(round).get(CHANGING)!;
          await world.repo.commit({ [`${APP}/${CHANGING}`]: `${text}${way.name}\n` });
          await writeFile(join(around.files, CHANGING), `${text}${way.name}\n`);
        });
      }
      controller.child.kill("SIGTERM");
      await controller.ended;
    }
    print("\r".padEnd(60) + "\r", process.stderr);
    report(found, hosts, rounds);
    await reportVerification(world, around, contents, rounds);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function measureRound(
  way: Way,
  found: Map<string, Record<Step, Measured[]>>,
  before: (step: Step) => Promise<void>,
): Promise<void> {
  const mine = found.get(way.name) ?? { first: [], changed: [], nothing: [] };
  found.set(way.name, mine);
  for (const step of STEPS) {
    await before(step);
    mine[step].push(await way[step]());
  }
}

/** A controller that knows Git and has synced nothing. */
async function freshController(world: World) {
  await rm(world.dataDir, { recursive: true, force: true });
  const controller = world.spawn(["run", "--log-level", "warn"]);
  const socket = controlSocket(world.dataDir);
  await until(() => existsSync(socket) || controller.child.exitCode !== null, 20_000, "the controller's socket");
  if (controller.child.exitCode !== null) throw new Error(controller.stderr);
  return controller;
}

async function wipe(world: World): Promise<void> {
  await Promise.all(
    world.fleet.hosts.map(({ dir }) => rm(join(dir, "etc"), { recursive: true, force: true, maxRetries: 10 })),
  );
}

function report(found: ReadonlyMap<string, Record<Step, Measured[]>>, hosts: number, rounds: number): void {
  const fssync = found.get("fssync")!;
  for (const step of STEPS) {
    const own = medians(fssync[step]);
    const rows = [...found].map(([name, steps]) => {
      const { wall, cpu, peak } = medians(steps[step]);
      const against = name === "fssync" ? ["", ""] : [ratio(wall, own.wall), ratio(cpu, own.cpu)];
      return [name, (wall / 1000).toFixed(2), (cpu / hosts).toFixed(1), mib(peak), ...against];
    });
    const head = [TITLES[step].toUpperCase(), "WALL S", "CPU MS/HOST", "PEAK MIB", "× FSSYNC WALL", "× FSSYNC CPU"];
    print(`\n${table(head, rows, [1, 2, 3, 4, 5])}`);
  }
  print(`\n${hosts} sshd hosts on loopback, on the same cores; medians of ${rounds}.\n`);
}

/** Of files that every host has: those of the last way are taken away first. */
async function reportVerification(
  world: World,
  around: Surroundings,
  contents: ReadonlyMap<string, string>,
  rounds: number,
): Promise<void> {
  await wipe(world);
  await Promise.all(world.fleet.hosts.map(({ dir }) => cp(around.files, dir, { recursive: true })));
  const ways = await verification(around, [...contents.keys()], rounds);
  const { length } = world.fleet.hosts;
  const rows = ways.map(({ name, measured: { wall, cpu, peak } }) => {
    const against = cpu === ways[0]!.measured.cpu ? "" : ratio(cpu, ways[0]!.measured.cpu);
    return [name, (wall / 1000).toFixed(2), (cpu / length).toFixed(1), mib(peak), against];
  });
  const head = [`VERIFICATION OF ${FILES} FILES, WARM`, "WALL S", "CPU MS/HOST", "PEAK MIB", "× FSSYNC CPU"];
  print(`\n${table(head, rows, [1, 2, 3, 4])}`);
  print(`\n8 hosts at a time; to reach: less than 8 ms of CPU per host.\n`);
}

function medians(found: readonly Measured[]): Measured {
  const middle = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
  return {
    wall: middle(found.map(({ wall }) => wall)),
    cpu: middle(found.map(({ cpu }) => cpu)),
    peak: middle(found.map(({ peak }) => peak)),
  };
}

/** 200 files, 1.3 MB. */
function fileContents(round: number): Map<string, string> {
  return new Map(
    Array.from({ length: FILES }, (_, number) => [
      `etc/app/conf.d/file-${number}.conf`,
      `# file ${number}, round ${round}\n${`key-${number} = value\n`.repeat(400)}`,
    ]),
  );
}

async function writeFiles(folder: string, contents: ReadonlyMap<string, string>): Promise<void> {
  for (const [path, text] of contents) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}

function hostObject({ address, port, root }: { address: string; port: number; root: string }) {
  const [mod, env, app] = APP.split("/");
  return { address, port, root, mod, env, app };
}

function ratio(other: number, own: number): string {
  return (other / own).toFixed(1);
}

function mib(bytes: number): string {
  return String(Math.round(bytes / 1024 / 1024));
}

function printRows(title: string, rows: readonly Row[]): void {
  const cells = rows.map(({ what, figure, limit }) => [what, figure, limit]);
  print(table([title, "MEASURED", "TO REACH"], cells, [1, 2]));
}

function print(text: string, to: NodeJS.WriteStream = process.stdout): void {
  to.write(text);
}
