import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Operation } from "../../../src/http/schemas/operation.ts";
import { namespaceUnavailable } from "../../support/fleet.ts";
import { World, type Controller } from "../../support/world.ts";
import { Readers, type Read } from "./readers/readers.ts";

const WEB = "nginx/prod/web";
const HOSTS = 200;
const READERS = 500;
/** Each reads once a second, as a page that refreshes itself. */
const PERIOD = 1000;
const ROUNDS = Number(process.env["FSSYNC_TEST_ROUNDS"] ?? 4);
/** What is wanted is 5 % at most; two runs differ by more than that by chance where others use the machine too. */
const MOST_SHARE = 0.1;
const MOST_SLOWER = 0.25;

/** One sync of all hosts; times in milliseconds. */
interface Round {
  readonly wall: number;
  /** CPU time of the controller. */
  readonly cpu: number;
  /** What was read meanwhile. */
  readonly read?: Read;
}

describe.skipIf(namespaceUnavailable() !== undefined)("500 people look at the status while 200 hosts sync", () => {
  let world: World;
  let controller: Controller;
  let readers: Readers;
  let commits = 0;

  beforeAll(async () => {
    world = await World.create({
      hosts: HOSTS,
      kind: "namespace",
      files: Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`${WEB}/etc/conf.d/${at}.conf`, `${at}\n`])),
      // Nothing happens but what the test asks for.
      spec: { git: { interval: "1h" } },
    });
    controller = await world.start("--log-level", "info");
    readers = new Readers(controller.url, world.fleet.prefix);
    await world.settled(HOSTS, 120_000);
  }, 180_000);
  afterAll(async () => {
    await readers[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  /** A commit that changes a file of every host, and the sync of it. */
  async function sync(looked: boolean): Promise<Round> {
    commits += 1;
    await world.repo.commit({ [`${WEB}/etc/conf.d/0.conf`]: `commit ${commits}\n` });
    if (looked) await readers.begin({ path: "/api/v1/status", readers: READERS, period: PERIOD });
    const cpu = cpuOf(controller);
    const { phase, counts, createdAt, finishedAt } = await readers.sync<Operation>({ all: true });
    const spent = cpuOf(controller) - cpu;
    expect([phase, counts]).toMatchObject(["Succeeded", { synced: HOSTS }]);
    const round = { wall: Date.parse(finishedAt!) - Date.parse(createdAt), cpu: spent };
    return looked ? { ...round, read: await readers.stop() } : round;
  }

  test("the sync takes no longer, but for the CPU time that the readers themselves take", async () => {
    const [alone, looked]: [Round[], Round[]] = [[], []];
    await sync(true);
    for (let round = 0; round < ROUNDS; round += 1) {
      alone.push(await sync(false));
      looked.push(await sync(true));
    }
    const before = median(alone.map(({ wall }) => wall));
    const after = median(looked.map(({ wall }) => wall));
    const reads = looked.map(({ read }) => read!);
    const total = reads.reduce((sum, { reads: count }) => sum + count, 0);
    // What the readers' process takes from a machine whose CPUs are all at work.
    const theirs = median(reads.map(({ cpu }) => cpu)) / availableParallelism();
    const ours = median(looked.map(({ cpu }) => cpu)) - median(alone.map(({ cpu }) => cpu));
    const perRead = (ours * looked.length) / total;
    const share = ours / availableParallelism() / before;
    const slower = (after - theirs) / before - 1;
    console.log(
      [
        `sync of ${HOSTS} hosts alone ${before} ms, CPU of the controller ${median(alone.map(({ cpu }) => cpu))} ms (${alone.map(({ wall }) => wall).join(", ")})`,
        `with ${READERS} readers ${after} ms (${looked.map(({ wall }) => wall).join(", ")})`,
        `the readers' own CPU ${theirs.toFixed(0)} ms a CPU; slower by ${(slower * 100).toFixed(1)} % without it`,
        `controller: ${ours.toFixed(0)} ms more CPU, ${(share * 100).toFixed(1)} % of the machine, ${perRead.toFixed(3)} ms a read`,
        `${total} reads of ${(reads[0]!.bytes / reads[0]!.reads / 1000).toFixed(0)} KB: median ${median(reads.map((read) => read.median)).toFixed(0)} ms, 99 % ${median(reads.map((read) => read.last)).toFixed(0)} ms, longest ${Math.max(...reads.map((read) => read.most)).toFixed(0)} ms`,
      ].join("\n"),
    );
    expect(reads.map(({ failures, reads: count }) => [failures, count > 0])).toEqual(reads.map(() => [0, true]));
    expect(share).toBeLessThan(MOST_SHARE);
    expect(slower).toBeLessThan(MOST_SLOWER);
  }, 300_000);
});

/** CPU time that the controller's process took so far, milliseconds: its rsyncs are processes of their own. */
function cpuOf({ running }: Controller): number {
  const stat = readFileSync(`/proc/${running.child.pid}/stat`, "utf8");
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13)
    .map(Number) as [number, number];
  return (user + system) * 10;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
}
