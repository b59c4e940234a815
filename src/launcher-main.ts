import type { Socket } from "node:net";
import { systemClock } from "./clock/system-clock.ts";
import { Fence } from "./transport/fence.ts";
import type { LauncherAnswer, LauncherOrder } from "./transport/launcher.ts";
import { endLeftovers } from "./transport/leftovers.ts";
import { runProcess, type Pipes } from "./transport/process.ts";
import { Watchdog } from "./transport/watchdog.ts";

// The process that `Launcher` starts programs from. It lives as long as its controller.

const dir = process.argv[2]!;
const running = new Map<number, { readonly stop: AbortController; readonly ended: Promise<void> }>();
const controller = process.ppid;
const watchdog = new Watchdog({ ask: () => answer({ kind: "alive?" }), end: endController });
let watches = false;
const fence = new Fence({ clock: systemClock, over });

process.on("message", (order: LauncherOrder) => {
  // This process may have been stopped itself: messages come before timers then.
  fence.check();
  if (order.kind === "allow") {
    watches = order.watch;
    return fence.allow(order.until);
  }
  if (order.kind === "alive") return watchdog.answer();
  if (order.kind === "abort") return running.get(order.id)?.stop.abort();
  const stop = new AbortController();
  running.set(order.id, { stop, ended: run(order, stop.signal) });
});

// systemd tells every process of a service to end; the controller decides what ends and when.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

process.once("disconnect", () => {
  for (const { stop } of running.values()) stop.abort();
  void Promise.all([...running.values()].map(({ ended }) => ended)).then(() => process.exit());
});

/** Masters are in groups of their own; they are found by their folder. */
async function over(): Promise<void> {
  await Promise.all([endLeftovers(dir), watches && watchdog.look()]);
}

/** One that has ended has given its number to somebody else, perhaps, but is not our parent any more. */
function endController(): void {
  if (!process.connected || process.ppid !== controller) return;
  process.stderr.write(
    `fssync ${controller} is killed: it did not answer when the time that it was allowed was over\n`,
  );
  process.kill(controller, "SIGKILL");
}

async function run(order: Extract<LauncherOrder, { kind: "run" }>, signal: AbortSignal): Promise<void> {
  const { id, command, args, options, pipes } = order;
  const allowed = fence.check();
  await fence.cleared();
  const ended = await runProcess(command, args, {
    ...options,
    ...(pipes && { onPipes: (made: Pipes) => hand(id, made) }),
    signal,
    fence: allowed,
    clock: systemClock,
  });
  fence.check();
  running.delete(id);
  const { spawnError, ...result } = allowed.aborted ? { ...ended, aborted: true } : ended;
  const failure = spawnError && { message: spawnError.message, code: spawnError.code };
  answer({ kind: "result", id, result, spawnError: failure });
}

/** The controller has them from now on; `runProcess` sees its own ends closed. */
function hand(id: number, { output, input }: Pipes): void {
  for (const pipe of [output, input]) answer({ kind: "pipe", id }, pipe);
}

function answer(message: LauncherAnswer, pipe?: Socket): void {
  const given = () => void pipe?.destroy();
  if (process.connected) process.send!(message, pipe, {}, given);
  else given();
}
