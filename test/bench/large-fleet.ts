import { readFileSync } from "node:fs";
import { benchWorld, fileContents, inGit, startController, stopController } from "./bench-world.ts";
import { median, mib, perHost, seconds } from "./figures.ts";
import { measuredSync, type MeasuredSync } from "./fssync-way.ts";
import { markdown } from "./markdown.ts";
import { loopDelay } from "./probe.ts";

const FILES = 20;
const CHANGING = "etc/app/conf.d/file-7.conf";
/** To look at the processes of 5,000 hosts takes a tenth of a second, of the time that they have. */
const LOOK_EVERY = 5000;

interface Step extends MeasuredSync {
  /** Milliseconds of CPU. */
  readonly stall: number;
}

/** One commit to thousands of hosts: those that are new, over new connections, and over those that are open. */
export async function* withLargeFleet(hosts: number, rounds: number): AsyncGenerator<string> {
  assertLimits(hosts);
  await using stack = new AsyncDisposableStack();
  const world = await benchWorld({ hosts, files: fileContents(FILES, 0) }, stack);
  const stall = loopDelay(world.dir);
  let controller = await startController(world, { client: "builtin", env: stall.env });
  let commits = 0;

  async function step(what: string): Promise<Step> {
    process.stderr.write(`${what}\n`);
    // What was before, the start of the controller too, is not of this step.
    await stall.ask(controller);
    const measured = await measuredSync(world, controller, { lookEvery: LOOK_EVERY });
    if (measured.arrivals.length !== hosts) throw new Error(`${what}: ${measured.arrivals.length} hosts were synced`);
    return { ...measured, stall: Number(await stall.ask(controller)) };
  }
  async function changed(what: string): Promise<Step> {
    await world.repo.commit(inGit(new Map([[CHANGING, `${++commits}\n`]])));
    return step(what);
  }

  try {
    const first = await step("first sync");
    const warm: Step[] = [];
    for (let round = 1; round <= rounds; round += 1) warm.push(await changed(`warm, ${round} of ${rounds}`));
    await stopController(controller);
    controller = await startController(world, { client: "builtin", env: stall.env, goesOn: true });
    const cold = await changed("new connections");
    const steps: [string, Step][] = [
      [`First sync of ${FILES} files, new connections`, first],
      ["One changed file, warm", byWall(warm)],
      ["One changed file, new connections", cold],
    ];
    yield fleetTable(steps, hosts);
    yield `${hosts} sshd hosts on loopback, on the same cores; of the warm commits the middle one of ${rounds}.\n`;
  } finally {
    await stopController(controller);
  }
}

function fleetTable(steps: readonly [string, Step][], hosts: number): string {
  const rows = steps.map(([what, { wall, arrivals, cpu, peak, stall }]) => {
    const times = [wall, median(arrivals), arrivals.at(-1)!].map(seconds);
    return [what, ...times, perHost(cpu, hosts), mib(peak), stall.toFixed(0)];
  });
  const times = ["Wall, s", "Median host, s", "Last host, s"];
  const head = [`${hosts} hosts`, ...times, "CPU, ms per host", "Peak, MiB", "Loop held at most, ms"];
  return markdown(head, rows, [1, 2, 3, 4, 5, 6]);
}

function byWall(steps: readonly Step[]): Step {
  const wall = median(steps.map((step) => step.wall));
  return steps.find((step) => step.wall === wall)!;
}

/** Throws when the machine does not let one process have so many connections, or so many processes live. */
function assertLimits(hosts: number): void {
  const files = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  const processes = Number(readFileSync("/proc/sys/kernel/pid_max", "utf8"));
  // A host has one process for its connection, and some more while it is worked on.
  if (files < hosts + 1000) throw new Error(`${hosts} connections need more open files than ${files}: ulimit -n`);
  if (processes < 2 * hosts + 2000)
    throw new Error(`${hosts} hosts need more processes than ${processes}: kernel.pid_max`);
}
