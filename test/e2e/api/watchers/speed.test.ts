import { readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { HostItem } from "../../../../src/reconcile/report-items.ts";
import { EventStream } from "../../../support/event-stream.ts";
import { until } from "../../../support/fleet.ts";
import { here } from "../../../support/machine.ts";
import { World, type Controller } from "../../../support/world.ts";

const WATCHERS = 1000;
const FILE = "nginx/prod/web/etc/a.conf";
const PROBE = resolve(import.meta.dirname, "../../../support/loop-delay.mjs");

let world: World;
let controller: Controller;
let delayFile: string;

beforeAll(async () => {
  world = await World.create({ hosts: 2, kind: "ports", files: { [FILE]: "0\n" } });
  delayFile = join(world.dir, "loop-delay");
  process.env["FSSYNC_TEST_LOOP_DELAY"] = delayFile;
  process.env["NODE_OPTIONS"] = `--import=${PROBE}`;
  controller = await world.start();
  delete process.env["NODE_OPTIONS"];
  await world.settled();
});
afterAll(() => world[Symbol.asyncDispose]());

/** Sockets that the controller's process has open. */
function sockets(): number {
  const folder = `/proc/${controller.running.child.pid}/fd`;
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(join(folder, fd)).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

/** Megabytes of memory that the controller's process has. */
function memory(): number {
  const status = readFileSync(`/proc/${controller.running.child.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

/** Milliseconds for which the controller's event loop was held at most, since the last call. */
async function longestDelay(): Promise<number> {
  rmSync(delayFile, { force: true });
  controller.running.child.kill("SIGUSR2");
  const read = () => {
    try {
      return readFileSync(delayFile, "utf8");
    } catch {
      return "";
    }
  };
  await until(() => read() !== "", 5000, "the event loop's delay");
  return Number(read());
}

/** Commits, and waits until every stream was told that both hosts have it; milliseconds from the commit on. */
async function commitAndTell(content: string, streams: readonly EventStream<HostItem>[]): Promise<number> {
  const commit = await world.repo.commit({ [FILE]: content });
  const start = performance.now();
  const has = (stream: EventStream<HostItem>) => {
    if (!stream.isSynced) return false;
    const done = stream.changes.filter(
      ({ data }) => data.apps?.[0]?.revision?.endsWith(commit) && data.state === "Synced",
    );
    return new Set(done.map(({ data }) => data.port)).size === 2;
  };
  await until(() => streams.every(has), 30_000, "all watchers to be told");
  return performance.now() - start;
}

test(
  "a thousand watchers are told within seconds, hold nobody up, and leave nothing",
  { timeout: 120_000 },
  async () => {
    await commitAndTell("warm\n", []);
    await world.settled();
    await until(() => sockets() < 50, 10_000, "connections of before to end");
    const before = { sockets: sockets(), memory: memory() };
    await longestDelay();

    const opening = performance.now();
    const streams = await Promise.all(
      Array.from({ length: WATCHERS }, () => EventStream.open<HostItem>(`${controller.url}/api/v1/hosts?watch=true`)),
    );
    expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]));
    await until(() => streams.every(({ isSynced }) => isSynced), 30_000, "all to have been told what there is");
    const opened = performance.now() - opening;
    const openDelay = await longestDelay();
    expect(sockets()).toBeGreaterThanOrEqual(before.sockets + WATCHERS);

    const told = await commitAndTell("1\n", streams);
    const toldDelay = await longestDelay();
    // Everybody was told the same, each change once.
    const texts = new Set(streams.map(({ changes }) => JSON.stringify(changes)));
    expect(texts.size).toBe(1);

    const leaving = streams.splice(0, WATCHERS / 2);
    for (const stream of leaving) stream[Symbol.dispose]();
    await until(() => sockets() <= before.sockets + WATCHERS / 2 + 10, 10_000, "half of the sockets to be closed");
    const again = await commitAndTell("2\n", streams);
    const grown = memory() - before.memory;
    for (const stream of streams) stream[Symbol.dispose]();
    await until(() => sockets() <= before.sockets, 10_000, "all sockets to be closed");

    const delays = { opening: Math.round(openDelay), telling: Math.round(toldDelay) };
    console.log(
      `${WATCHERS} watchers: told all there is ${Math.round(opened)} ms after the first connected, ` +
        `of a commit on 2 hosts ${Math.round(told)} and ${Math.round(again)} ms after it; ` +
        `loop held at most ${delays.opening} ms while they came, ${delays.telling} ms while they were told; ${Math.round(grown)} MiB more`,
    );
    expect(toldDelay).toBeLessThan(here(100));
    // Node takes all of them in one turn of the event loop, when they come at the same moment.
    expect(openDelay).toBeLessThan(here(1000));
    expect(grown).toBeLessThan(150);
    expect(Math.max(told, again)).toBeLessThan(here(10_000));
  },
);
