import { SingleBar } from "cli-progress";
import type { SyncProgress } from "../reconcile/controller.ts";

/** Lines between two reports where there is no terminal, as a share of all hosts. */
const STEP = 0.1;

export interface Progress extends Disposable {
  readonly on: (event: SyncProgress) => void;
}

/** A bar on a terminal, a line for every tenth of the hosts elsewhere. */
export function showProgress(stderr: NodeJS.WriteStream, done: "synced" | "verified"): Progress {
  return stderr.isTTY ? bar(stderr) : lines(stderr, done);
}

function bar(stderr: NodeJS.WriteStream): Progress {
  const format = "{bar} {value}/{total} hosts, {duration_formatted} {host}";
  const made = new SingleBar({ format, stream: stderr, hideCursor: true, clearOnComplete: true, barsize: 30 });
  let total = 0;
  return {
    on: (event) => {
      if (event.kind === "start") {
        total = event.hosts;
        if (total > 0) made.start(total, 0, { host: "" });
      } else made.update(total - event.left, { host: event.host });
    },
    [Symbol.dispose]: () => made.stop(),
  };
}

function lines(stderr: NodeJS.WriteStream, verb: string): Progress {
  let total = 0;
  let told = 0;
  return {
    on: (event) => {
      if (event.kind === "start") total = event.hosts;
      const done = event.kind === "start" ? 0 : total - event.left;
      if (total === 0 || (done < total && done - told < total * STEP)) return;
      told = done;
      stderr.write(`${verb} ${done}/${total} hosts\n`);
    },
    [Symbol.dispose]: () => {},
  };
}
