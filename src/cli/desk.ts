import { FssyncError } from "../model/errors.ts";
import { ControlClient } from "../http/control-client.ts";
import type { Desk } from "../reconcile/controller.ts";
import type { InKubernetes } from "./globals.ts";
import type { Context } from "./program.ts";

/**
 * Calls `work` with the controller of this process when the data dir is free, else with the one that
 * runs there: either way it is the only one that works on it. In Kubernetes only the leader works.
 */
export async function atDesk<Result>(
  context: Context,
  { kubernetes }: Pick<InKubernetes, "kubernetes">,
  work: (desk: Desk) => Promise<Result>,
): Promise<Result> {
  const { build, log, signal } = context;
  if (kubernetes) return await work(new ControlClient(build.controlSocket(context)));
  try {
    await using program = await build.program(context, { log, retry: false });
    const { controller } = program;
    signal.addEventListener("abort", () => controller.kill(), { once: true });
    controller.serveRequests();
    await controller.load();
    return await work(controller);
  } catch (error) {
    if (!(error instanceof FssyncError) || error.reason !== "DataDirInUse") throw error;
    log.debug({ holder: error.message }, "asking the controller that runs");
  }
  return await work(new ControlClient(build.controlSocket(context)));
}
