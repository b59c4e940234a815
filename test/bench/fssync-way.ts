import { ControlClient } from "../../src/http/control-client.ts";
import type { RepoReport } from "../../src/plan/status-report.ts";
import { runtimeDir } from "../../src/runtime-dir.ts";
import type { Running, World } from "../support/world.ts";
import { controlSocket, startController, stopController, type Client } from "./bench-world.ts";
import { Meter, type MeterOptions } from "./cpu.ts";
import type { Measured, Way } from "./ways.ts";

export const FSSYNC = "fssync";

/** The controller as it runs for days: asked at its control socket, as `fssync sync` does. */
export function fssyncWay(world: World, client: Client): Way {
  let controller: Running | undefined;
  const sync = () => measuredSync(world, controller!);
  return {
    name: client === "builtin" ? FSSYNC : `${FSSYNC} with \`client: ${client}\``,
    begin: async () => void (controller = await startController(world, { client })),
    end: async () => controller && (await stopController(controller)),
    first: sync,
    changed: sync,
    all: sync,
    nothing: sync,
  };
}

export interface MeasuredSync extends Measured {
  /** Milliseconds from the request to the record of each host that it synced, ascending. */
  readonly arrivals: readonly number[];
}

/** From the request to the last record: poll, fetch and plan included. Throws when a host is not synced. */
export async function measuredSync(world: World, controller: Running, options?: MeterOptions): Promise<MeasuredSync> {
  using meter = new Meter(controller.child.pid!, runtimeDir(world.dataDir), options);
  const begun = Date.now();
  const start = performance.now();
  const repo = await askSync(world);
  const wall = performance.now() - start;
  const used = meter.read();
  const bad = repo.hosts.filter(({ state }) => state !== "Synced");
  if (bad.length > 0) throw new Error(`${bad.length} hosts not synced: ${JSON.stringify(bad[0])}`);
  return { wall, ...used, arrivals: arrivalsOf(repo, begun) };
}

/** `fssync sync`, of all that lags. Throws when it takes longer than so many milliseconds. */
export async function askSync(world: World, deadline = 1_800_000): Promise<RepoReport> {
  const client = new ControlClient(controlSocket(world.dataDir));
  const all = { apps: [], hosts: [], full: false, allowPrune: false };
  const { report } = await client.sync(all, () => {}, AbortSignal.timeout(deadline));
  return report.repos[0]!;
}

/** Milliseconds since `begun` at which each host got what it has. */
export function arrivalsOf({ hosts }: Pick<RepoReport, "hosts">, begun: number): number[] {
  return hosts
    .flatMap(({ apps }) => apps.flatMap(({ syncedAt }) => (syncedAt === null ? [] : [Date.parse(syncedAt) - begun])))
    .filter((arrival) => arrival >= 0)
    .toSorted((a, b) => a - b);
}
