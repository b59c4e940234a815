import { setFlagsFromString } from "node:v8";
import { startControlServer } from "../../http/control-server.ts";
import { listen, publicServer } from "../../http/server.ts";
import type { Context } from "../program.ts";

/** How long syncs under way may take after SIGTERM; Kubernetes gives 30 s in all. */
const DRAIN_DEADLINE = 25_000;

// A controller lives for months and works in bursts: its heap shall grow in small steps, not by four times what lives.
setFlagsFromString("--optimize-for-size");

/** The controller: reconciles until it is told to stop, then drains. */
export async function runCommand(context: Context): Promise<number> {
  const { build, log, signal, impatient } = context;
  let notReady: string | null = "starting";
  await using program = await build.program(context, { log, retry: true });
  const { controller } = program;
  await using stack = new AsyncDisposableStack();
  const server = publicServer({ metrics: program.exposeMetrics, notReady: () => notReady });
  stack.defer(() => server.close());
  const address = await listen(server, context.listen);

  const forgotten = await program.forgetOthers();
  if (forgotten.length > 0) log.info({ repos: forgotten }, "repos forgotten that are not configured any more");
  await controller.load();
  controller.start(signal);
  const control = await startControlServer(controller, program.controlSocket);
  stack.defer(() => control.close());
  notReady = null;
  log.info({ address, metrics: `${address}/metrics`, dataDir: context.dataDir }, "controller started");

  await aborted(signal);
  notReady = "stopping";
  impatient.addEventListener("abort", () => controller.kill(), { once: true });
  const drained = await controller.drain(DRAIN_DEADLINE);
  if (drained) log.info("drained");
  else log.warn({ deadline: DRAIN_DEADLINE }, "syncs under way were ended; they run again after the restart");
  return 0;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
