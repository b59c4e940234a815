import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { hostKey } from "../../src/model/host.ts";
import type { Client } from "./bench-world.ts";
import { Meter } from "./cpu.ts";
import type { LookAnswer, LookOptions, LookOrder } from "./look.ts";
import type { Measured, Surroundings } from "./ways.ts";

const LOOK = join(import.meta.dirname, "look.ts");

/** Hosts at a time, as `drift.concurrency` has it unless it is set. */
const CONCURRENCY = 8;

/** A process that looks at hosts when it is told to. */
export interface Looker extends AsyncDisposable {
  /** Looks at so many of the paths on the hosts from `first` to the one before `last`. */
  look(first: number, last: number, paths: number): Promise<Measured>;
  /** Bytes that it uses after what is garbage was collected. */
  memory(): Promise<number>;
}

export async function startLooker({ fleet, dir, paths }: Surroundings, client: Client): Promise<Looker> {
  const socketDir = join(dir, client === "builtin" ? "lb" : "lo");
  const work = join(dir, `look-${client}`);
  await mkdir(work, { recursive: true, mode: 0o700 });
  const hosts = fleet.hosts.map(({ address, port, root }) => {
    return { key: hostKey(address, port), address, port, user: fleet.user, root };
  });
  const identity = await readFile(fleet.identityFile, "utf8");
  const secret = { identity, knownHosts: fleet.knownHosts };
  const options = { dir: work, socketDir, client, ...secret, hosts, paths, concurrency: CONCURRENCY };
  const file = join(dir, `look-${client}.json`);
  await writeFile(file, JSON.stringify(options satisfies LookOptions), { mode: 0o600 });
  const [command, ...args] = [...fleet.prefix, process.execPath, "--expose-gc", LOOK, file];
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const lines = createInterface({ input: child.stdout });

  async function ask(order: LookOrder): Promise<LookAnswer> {
    const answer = once(lines, "line");
    child.stdin.write(`${JSON.stringify(order)}\n`);
    const died = ended.then(() => Promise.reject(new Error("the process that looks at hosts ended")));
    const [line] = (await Promise.race([answer, died])) as [string];
    return JSON.parse(line) as LookAnswer;
  }

  return {
    async look(first, last, paths) {
      using meter = new Meter(child.pid!, socketDir);
      const start = performance.now();
      await ask({ kind: "look", first, last, paths });
      return { wall: performance.now() - start, ...meter.read() };
    },
    async memory() {
      const { memory } = await ask({ kind: "memory" });
      return memory!;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
