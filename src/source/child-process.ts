import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import type { Readable } from "node:stream";

/**
 * simple-git keeps its child process to itself and only ever sends SIGINT. Node announces each new
 * child on a diagnostics channel, which lets us find the process behind a stdout and end it for sure.
 */
let newest: WeakRef<ChildProcess> | undefined;

subscribe("child_process", (message) => {
  newest = new WeakRef((message as { process: ChildProcess }).process);
});

/** Call it right after the spawn, in the same turn. */
export function processBehind(stdout: NodeJS.ReadableStream): ChildProcess | undefined {
  const child = newest?.deref();
  return child?.stdout === (stdout as Readable) ? child : undefined;
}

/** SIGKILL, and an end to the pipes, which a grandchild may hold open long after. */
export function killForSure(child: ChildProcess | undefined, ...pipes: NodeJS.ReadableStream[]): void {
  child?.kill("SIGKILL");
  for (const pipe of pipes) (pipe as Readable).destroy();
}
