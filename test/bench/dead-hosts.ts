import { setTimeout as wait } from "node:timers/promises";
import type { RepoReport } from "../../src/plan/status-report.ts";
import { until, type FleetHost } from "../support/fleet.ts";
import type { Running, World } from "../support/world.ts";
import { benchWorld, fileContents, inGit, startController, stopController } from "./bench-world.ts";
import { median, ratio, seconds } from "./figures.ts";
import { arrivalsOf, askSync } from "./fssync-way.ts";
import { FAULTS, HostFaults, type Fault } from "./host-faults.ts";
import { markdown } from "./markdown.ts";

const FILES = 20;
const CHANGING = "etc/app/conf.d/file-7.conf";
/** One host in so many is dead. */
const ONE_IN = 50;
/** Milliseconds within which the hosts that are well must have a commit. */
const DEADLINE = 600_000;

/** Milliseconds from the revision's being seen to the hosts that are well. */
interface Reached {
  readonly median: number;
  readonly last: number;
}

/** What hosts that do not answer cost the others: the commit at which they die, and the next one. */
export async function* withDeadHosts(hosts: number, rounds: number): AsyncGenerator<string> {
  await using stack = new AsyncDisposableStack();
  const world = await benchWorld({ hosts, files: fileContents(FILES, 0), spec: { git: { interval: "1s" } } }, stack);
  const faults = new HostFaults(world.fleet);
  const dead = world.fleet.hosts.filter((_, index) => index % ONE_IN === ONE_IN - 1);
  const alive = new Set(world.fleet.hosts.filter((host) => !dead.includes(host)).map(({ address }) => address));
  const controller = await startController(world, { client: "builtin", level: "info" });
  const commits = new Commits(world, controller, alive);
  const well: Reached[] = [];
  const found = new Map(FAULTS.map((fault) => [fault, { dying: [] as Reached[], dead: [] as Reached[] }]));
  try {
    await askSync(world);
    await commits.reach();
    for (let round = 1; round <= rounds; round += 1) {
      for (const fault of FAULTS) {
        process.stderr.write(`round ${round} of ${rounds}: ${fault}\n`);
        well.push(await commits.reach());
        for (const host of dead) await faults.cause(fault, host);
        found.get(fault)!.dying.push(await commits.reach());
        found.get(fault)!.dead.push(await commits.reach());
        await mend(fault, dead, { faults, world });
      }
    }
  } finally {
    await stopController(controller);
  }
  yield faultTable(middle(well), found, hosts);
  yield `${hosts} sshd hosts, of which ${dead.length} are dead; the others' time from when the commit was seen; medians of ${rounds} (all well: of ${well.length}).\n`;
}

/** All hosts are well again and have what the others have. */
async function mend(
  fault: Fault,
  dead: readonly FleetHost[],
  { faults, world }: { faults: HostFaults; world: World },
): Promise<void> {
  for (const host of dead) await faults.mend(fault, host);
  const areWell = async () => {
    // What was under way when they died may fail only now.
    const { hosts } = await askSync(world);
    return hosts.every(({ state }) => state === "Synced");
  };
  await until(areWell, DEADLINE, `all hosts to be synced after ${fault} was over`);
}

/** Commits, and how long they take to reach the hosts that are well. */
class Commits {
  readonly #world: World;
  readonly #controller: Running;
  readonly #alive: ReadonlySet<string>;
  #count = 0;

  constructor(world: World, controller: Running, alive: ReadonlySet<string>) {
    this.#world = world;
    this.#controller = controller;
    this.#alive = alive;
  }

  async reach(): Promise<Reached> {
    const commit = await this.#world.repo.commit(inGit(new Map([[CHANGING, `${++this.#count}\n`]])));
    const hosts = await this.#reached(commit);
    const seen = this.#seen(commit);
    const arrivals = arrivalsOf({ hosts }, seen);
    return { median: median(arrivals), last: arrivals.at(-1)! };
  }

  async #reached(commit: string): Promise<RepoReport["hosts"]> {
    const end = performance.now() + DEADLINE;
    for (;;) {
      // Reading the store takes time that the hosts need, too.
      await wait(Math.max(250, this.#alive.size / 5));
      const report = await this.#world.peek();
      const hosts = report.hosts.filter(({ address }) => this.#alive.has(address));
      const left = hosts.filter(({ apps }) => apps.some(({ revision }) => !revision?.endsWith(commit)));
      if (hosts.length === this.#alive.size && left.length === 0) return hosts;
      if (performance.now() > end)
        throw new Error(`${left.length} hosts without ${commit}: ${JSON.stringify(left[0])}`);
    }
  }

  /** When the controller saw the commit, in milliseconds since the epoch. */
  #seen(commit: string): number {
    const lines = this.#controller.stderr.split("\n").filter((line) => line.includes(`"NewRevision"`));
    const line = lines.findLast((text) => text.includes(commit));
    if (line === undefined) throw new Error(`the log does not tell of ${commit}`);
    return Date.parse((JSON.parse(line) as { time: string }).time);
  }
}

function faultTable(
  well: Reached,
  found: ReadonlyMap<Fault, Record<"dying" | "dead", readonly Reached[]>>,
  hosts: number,
): string {
  const row = (what: string, reached: Reached) => [
    what,
    seconds(reached.median),
    seconds(reached.last),
    ratio(reached.median, well.median),
    ratio(reached.last, well.last),
  ];
  const rows = [...found].flatMap(([fault, { dying, dead }]) => [
    row(`1 in ${ONE_IN} ${fault}, the commit at which it begins`, middle(dying)),
    row(`1 in ${ONE_IN} ${fault}, the next commit`, middle(dead)),
  ]);
  const head = [
    `${hosts} hosts, one changed file, warm`,
    "Median, s",
    "Last, s",
    "× all well, median",
    "× all well, last",
  ];
  return markdown(head, [row("All well", well), ...rows], [1, 2, 3, 4]);
}

function middle(reached: readonly Reached[]): Reached {
  return { median: median(reached.map((one) => one.median)), last: median(reached.map((one) => one.last)) };
}
