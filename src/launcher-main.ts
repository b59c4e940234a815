import { systemClock } from "./clock/system-clock.ts";
import type { LauncherAnswer, LauncherOrder } from "./transport/launcher.ts";
import { runProcess } from "./transport/process.ts";

// The process that `Launcher` starts programs from. It lives as long as its controller.

const running = new Map<number, { readonly stop: AbortController; readonly ended: Promise<void> }>();

process.on("message", (order: LauncherOrder) => {
  if (order.kind === "abort") return running.get(order.id)?.stop.abort();
  const stop = new AbortController();
  running.set(order.id, { stop, ended: run(order, stop.signal) });
});

// Ctrl-C reaches every process of a terminal; the controller decides what ends and when.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

process.once("disconnect", () => {
  for (const { stop } of running.values()) stop.abort();
  void Promise.all([...running.values()].map(({ ended }) => ended)).then(() => process.exit());
});

async function run(order: Extract<LauncherOrder, { kind: "run" }>, signal: AbortSignal): Promise<void> {
  const { id, command, args, options } = order;
  const { spawnError, ...result } = await runProcess(command, args, { ...options, signal, clock: systemClock });
  running.delete(id);
  const failure = spawnError && { message: spawnError.message, code: spawnError.code };
  if (process.connected) process.send!({ id, result, spawnError: failure } satisfies LauncherAnswer, () => undefined);
}
