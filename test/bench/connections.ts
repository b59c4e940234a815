import { type Client } from "./bench-world.ts";
import { startLooker } from "./looker.ts";
import type { Surroundings } from "./ways.ts";

/** Connections opened before, so that what is loaded and compiled once is not counted. */
const BEFORE = 16;

export interface OpenedConnections {
  readonly client: Client;
  /** Milliseconds to open one, programs of ssh included. */
  readonly cpu: number;
  /** Bytes of one that is open and idle. */
  readonly memory: number;
}

/** What it costs to open a connection to each host: the first look at the hosts, less a second one. The hosts have the files. */
export async function connections(around: Surroundings): Promise<OpenedConnections[]> {
  return [await opened(around, "builtin"), await opened(around, "openssh")];
}

async function opened(around: Surroundings, client: Client): Promise<OpenedConnections> {
  const { length } = around.fleet.hosts;
  const before = Math.min(BEFORE, Math.floor(length / 2));
  await using looker = await startLooker(around, client);
  await looker.look(0, before, 1);
  const less = await looker.memory();
  const cold = await looker.look(before, length, 1);
  const more = await looker.memory();
  const warm = await looker.look(before, length, 1);
  const count = length - before;
  // Of masters, which are processes, what the kernel says of each: much of it is shared.
  const memory = client === "builtin" ? (more - less) / count : (warm.peak - more) / length;
  return { client, cpu: (cold.cpu - warm.cpu) / count, memory };
}
