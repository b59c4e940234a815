/**
 * A controller's part of looking at hosts, as a process of its own for `looker.ts`: does what each line on standard
 * input asks for and says when it is done.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { pino } from "pino";
import { systemClock } from "../../src/clock/system-clock.ts";
import type { Host } from "../../src/model/host.ts";
import { RsyncTransport } from "../../src/transport/rsync-transport.ts";
import type { Client } from "./bench-world.ts";

export interface LookOptions {
  readonly dir: string;
  readonly socketDir: string;
  readonly client: Client;
  readonly identity: string;
  readonly knownHosts: string;
  readonly hosts: readonly Host[];
  readonly paths: readonly string[];
  /** Hosts at a time. */
  readonly concurrency: number;
}

/** Look at so many paths on the hosts from the first to the one before the last; or say how much memory is in use. */
export type LookOrder =
  | { readonly kind: "look"; readonly first: number; readonly last: number; readonly paths: number }
  | { readonly kind: "memory" };

/** Bytes of memory in use after what is garbage was collected. */
export interface LookAnswer {
  readonly memory?: number;
}

const { dir, socketDir, client, identity, knownHosts, hosts, paths, concurrency } = JSON.parse(
  readFileSync(process.argv[2]!, "utf8"),
) as LookOptions;
const keys = new Map([
  ["identity", identity],
  ["known_hosts", knownHosts],
]);
const transport = new RsyncTransport({
  dir,
  socketDir,
  secret: () => Promise.resolve(keys),
  hostKeys: "strict",
  sudo: false,
  client,
  connectTimeout: 10_000,
  launcher: new URL("../../src/launcher-main.ts", import.meta.url),
  clock: systemClock,
  log: pino({ level: "silent" }),
});
/** One for all, as the controller has one for all that it looks at. */
const { signal } = new AbortController();
/** The same list each time, as verification has it: what can be made once is. */
const lists = new Map<number, { path: string }[]>();

async function look(order: LookOrder & { kind: "look" }): Promise<LookAnswer> {
  const files = lists.get(order.paths) ?? paths.slice(0, order.paths).map((path) => ({ path }));
  lists.set(order.paths, files);
  const left = hosts.slice(order.first, order.last).values();
  const workers = Array.from({ length: concurrency }, async () => {
    for (const host of left) {
      const facts = await transport.inspect(host, files, { timeout: 60_000, signal });
      if (facts.some(({ kind }) => kind !== "file")) throw new Error(`${host.key} lacks files`);
    }
  });
  await Promise.all(workers);
  return {};
}

function memory(): LookAnswer {
  globalThis.gc!();
  globalThis.gc!();
  return { memory: process.memoryUsage().rss };
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as LookOrder;
  const answer = order.kind === "look" ? await look(order) : memory();
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await transport[Symbol.asyncDispose]();
