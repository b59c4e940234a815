/**
 * A controller's part of verification, as a process of its own for `verification.ts`: looks at 200 files on every host
 * over warm connections, once it is told to, and says how it went.
 */
import { readFileSync } from "node:fs";
import { pino } from "pino";
import { systemClock } from "../../src/clock/system-clock.ts";
import type { Host } from "../../src/model/host.ts";
import { RsyncTransport } from "../../src/transport/rsync-transport.ts";

export interface LookOptions {
  readonly dir: string;
  readonly socketDir: string;
  readonly identity: string;
  readonly knownHosts: string;
  readonly hosts: readonly Host[];
  readonly paths: readonly string[];
  /** Hosts at a time. */
  readonly concurrency: number;
}

const { dir, socketDir, identity, knownHosts, hosts, paths, concurrency } = JSON.parse(
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
  client: "openssh",
  connectTimeout: 10_000,
  launcher: new URL("../../src/launcher-main.ts", import.meta.url),
  clock: systemClock,
  log: pino({ level: "silent" }),
});
const files = paths.map((path) => ({ path }));

async function lookAtAll(): Promise<void> {
  const left = hosts.values();
  const workers = Array.from({ length: concurrency }, async () => {
    for (const host of left) {
      const facts = await transport.inspect(host, files, { timeout: 60_000, signal: AbortSignal.timeout(60_000) });
      if (facts.some(({ kind }) => kind !== "file")) throw new Error(`${host.key} lacks files`);
    }
  });
  await Promise.all(workers);
}

await lookAtAll();
process.stdout.write("ready\n");
for await (const _ of process.stdin) {
  await lookAtAll();
  process.stdout.write("looked\n");
}
await transport[Symbol.asyncDispose]();
