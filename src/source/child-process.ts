import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import type { Readable } from "node:stream";

/**
 * simple-git keeps its child process to itself and only ever sends SIGINT. Node announces each new
 * child on a diagnostics channel, which lets us find the process behind a stdout and end it, and what it started, for sure.
 */
let newest: WeakRef<ChildProcess> | undefined;

subscribe("child_process", (message) => {
  const { process: child } = message as { process: ChildProcess };
  // Without file handles left it has no pipes, and its error comes later, when nobody listens.
  child.on("error", () => undefined);
  newest = new WeakRef(child);
});

/** Call it right after the spawn, in the same turn. */
export function processBehind(stdout: NodeJS.ReadableStream): ChildProcess | undefined {
  const child = newest?.deref();
  return child?.stdout === (stdout as Readable) ? child : undefined;
}

/** A signal to the process, and with `group` to all that it started: it leads a group of its own then. */
export function signalProcess(child: ChildProcess | undefined, signal: NodeJS.Signals, group: boolean): void {
  if (child?.pid === undefined) return;
  try {
    if (group) process.kill(-child.pid, signal);
    else child.kill(signal);
  } catch {
    // It ended, or it does not lead its group yet.
    child.kill(signal);
  }
}
