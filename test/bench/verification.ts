import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostKey } from "../../src/model/host.ts";
import { Meter } from "./cpu.ts";
import type { LookOptions } from "./look.ts";
import { dryRunWay, type Measured, type Surroundings } from "./ways.ts";

const LOOK = join(import.meta.dirname, "look.ts");

/** Hosts at a time, as `drift.concurrency` has it unless it is set. */
const CONCURRENCY = 8;

export interface VerificationWay {
  readonly name: string;
  /** Medians. */
  readonly measured: Measured;
}

/** What it costs to compare these files with what lies on all hosts, over warm connections; the hosts have them. */
export async function verification(
  around: Surroundings,
  paths: readonly string[],
  rounds: number,
): Promise<VerificationWay[]> {
  const looks = await looking(around, paths);
  const dryRun = await dryRunWay(around);
  const found: Measured[][] = [[], []];
  try {
    for (let round = 0; round < rounds; round++) {
      found[0]!.push(await looks.once());
      found[1]!.push(await dryRun());
    }
  } finally {
    await looks.end();
  }
  const [look, rsync] = found.map(middle);
  return [
    { name: "fssync: stat, sha256sum, readlink", measured: look! },
    { name: "rsync -nci, xargs -P8", measured: rsync! },
  ];
}

async function looking({ fleet, dir }: Surroundings, paths: readonly string[]) {
  const socketDir = join(dir, "l");
  const work = join(dir, "look");
  await mkdir(work, { mode: 0o700 });
  const hosts = fleet.hosts.map(({ address, port, root }) => {
    return { key: hostKey(address, port), address, port, user: fleet.user, root };
  });
  const identity = await readFile(fleet.identityFile, "utf8");
  const options = {
    dir: work,
    socketDir,
    identity,
    knownHosts: fleet.knownHosts,
    hosts,
    paths,
    concurrency: CONCURRENCY,
  };
  const file = join(dir, "look.json");
  await writeFile(file, JSON.stringify(options satisfies LookOptions), { mode: 0o600 });
  const [command, ...args] = [...fleet.prefix, process.execPath, LOOK, file];
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const answer = () =>
    Promise.race([once(child.stdout, "data"), ended.then(() => Promise.reject(new Error("it ended")))]);
  await answer();
  return {
    async once(): Promise<Measured> {
      using meter = new Meter(child.pid!, socketDir);
      const start = performance.now();
      child.stdin.write("look\n");
      await answer();
      return { wall: performance.now() - start, ...meter.read() };
    },
    async end(): Promise<void> {
      child.stdin.end();
      await ended;
    },
  };
}

function middle(found: readonly Measured[]): Measured {
  return found.toSorted((a, b) => a.cpu - b.cpu)[Math.floor(found.length / 2)]!;
}
