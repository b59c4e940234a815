import { spawnSync, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

/** Processes below `pid`, children first, from /proc: what a host has running. */
export function descendants(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found: number[] = [];
  for (const queue = [pid]; queue.length > 0;) {
    const next = children.get(queue.shift()!) ?? [];
    found.push(...next);
    queue.push(...next);
  }
  return found;
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}

/** Sends a signal to these processes; one that is gone already is fine. */
export function signalAll(pids: Iterable<number>, signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // Gone in the meantime.
    }
  }
}

/** Kills a child of ours and all that it started, and waits until it is reaped. */
export async function killTree(child: ChildProcess): Promise<void> {
  const pid = child.pid;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  // Stopped first, so that it starts nothing between the look and the kill.
  signalAll([pid], "SIGSTOP");
  const below = descendants(pid);
  signalAll([...below, pid], "SIGKILL");
  await gone;
  await until(() => below.every((each) => !isRunning(each)), 5000, "the processes of a host to end");
}

function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}

/** Waits for a condition, with a deadline. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  deadline: number,
  what: string,
): Promise<void> {
  const end = performance.now() + deadline;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${deadline} ms in vain for ${what}`);
    await wait(10);
  }
}

/** Runs a program to its end; throws with its stderr when it fails. */
export function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}: ${stderr.trim()}`);
  return stdout;
}

export function hasCommand(command: string): boolean {
  return spawnSync("sh", ["-c", 'command -v -- "$1"', "sh", command], { stdio: "ignore" }).status === 0;
}

const cleanups = new Set<() => void>();

/** Runs `cleanup` when the process ends in any way that can be noticed, unless disposed before. */
export function onProcessEnd(cleanup: () => void): Disposable {
  if (cleanups.size === 0) {
    process.on("exit", runCleanups);
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, endBySignal);
  }
  cleanups.add(cleanup);
  return {
    [Symbol.dispose]() {
      cleanups.delete(cleanup);
      if (cleanups.size > 0) return;
      process.off("exit", runCleanups);
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.off(signal, endBySignal);
    },
  };
}

function runCleanups(): void {
  for (const cleanup of cleanups) cleanup();
}

/** Ends the process as the signal would have; a program with a handler of its own ends by itself. */
function endBySignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  runCleanups();
  process.off(signal, endBySignal);
  process.kill(process.pid, signal);
}
