/**
 * A controller of its own for tests that stop it: syncs hosts with what its one argument says and tells on standard
 * output what came of each host; then once more. A line on standard input allows it `allowed` milliseconds from then on.
 */
import { pino } from "pino";
import type { Host } from "../../src/model/host.ts";
import type { HostChange, Outcome } from "../../src/ports/transport.ts";
import { RsyncTransport } from "../../src/transport/rsync-transport.ts";
import { realClock } from "./fleet-clock.ts";

export interface TransportProcessOptions {
  readonly dir: string;
  readonly socketDir: string;
  readonly identity: string;
  readonly knownHosts: string;
  readonly allowed: number;
  readonly client: "builtin" | "openssh";
  readonly hosts: readonly Host[];
  readonly change: HostChange;
}

const { dir, socketDir, identity, knownHosts, allowed, client, hosts, change } = JSON.parse(
  process.argv[2]!,
) as TransportProcessOptions;
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
  connectTimeout: 5000,
  launcher: new URL("../../src/launcher-main.ts", import.meta.url),
  clock: realClock,
  log: pino({ level: "silent" }),
});

async function syncAll(): Promise<void> {
  await using prepared = await transport.prepare(change);
  const options = { timeout: 20_000, signal: new AbortController().signal };
  await Promise.all(
    hosts.map(async (host) => {
      const { outcome } = await transport.apply(host, prepared, options);
      process.stdout.write(`${host.key} ${reasons(outcome)}\n`);
    }),
  );
}

function reasons(outcome: Outcome): string {
  return [...outcome.values()].map((error) => error?.reason ?? "synced").join();
}

/** However slow the machine is: what the test stops has begun by then. */
const ENOUGH = 120_000;

transport.allow(ENOUGH);
process.stdin.once("data", () => {
  transport.allow(allowed);
  process.stdout.write("allowed\n");
});
await syncAll();
await syncAll();
process.stdin.destroy();
transport.allow(20_000);
process.stdout.write("end\n");
await transport[Symbol.asyncDispose]();
