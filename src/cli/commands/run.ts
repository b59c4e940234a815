import { setFlagsFromString } from "node:v8";
import { systemClock } from "../../clock/system-clock.ts";
import { startControlServer } from "../../http/control-server.ts";
import { loadCertificate } from "../../http/certificate-files.ts";
import { listen } from "../../http/listen.ts";
import { metricsServer, publicServer } from "../../http/server.ts";
import type { Site, SiteDesk } from "../../http/site.ts";
import { FssyncError } from "../../model/errors.ts";
import { aborted, orAborted } from "../../ports/abort.ts";
import type { Access } from "../../ports/access.ts";
import { apiOf, openAccess, refuseContradictions } from "../api-access.ts";
import type { Leadership } from "../builders.ts";
import type { InKubernetes, LeaderElection, ServerOptions } from "../globals.ts";
import type { Context } from "../program.ts";

/** How long syncs under way may take after SIGTERM; Kubernetes gives 30 s in all. */
const DRAIN_DEADLINE = 25_000;
/** With another process waiting to lead: what is ended is run again there, sooner than it would be over here. */
const HANDOVER_DEADLINE = 1000;

/** Milliseconds in which a controller of a large fleet has read what it knows. */
const START_TAKES = 10_000;

// A controller lives for months and works in bursts: its heap shall grow in small steps, not by four times what lives. Most
// of what comes at the start is gone at once; then slower code is the price of a small heap, later it would be too high.
setFlagsFromString("--optimize-for-size");
setTimeout(() => {
  setFlagsFromString("--heap-growing-percent=50");
  setFlagsFromString("--no-optimize-for-size");
}, START_TAKES).unref();

/** The controller: reconciles until it is told to stop, then drains. */
export async function runCommand(
  context: Context,
  _: string[],
  options: InKubernetes & LeaderElection & ServerOptions,
): Promise<number> {
  refuseContradictions(context, options);
  await (options.kubernetes ? runInCluster(context, options) : runStandalone(context, options));
  return 0;
}

async function runStandalone(context: Context, options: ServerOptions): Promise<void> {
  const { build, log, signal } = context;
  let notReady: string | null = "starting";
  let desk: SiteDesk | undefined = undefined;
  await using program = await build.program(context, { log, retry: true });
  const { controller } = program;
  await using stack = new AsyncDisposableStack();
  const site: Site = {
    version: build.version,
    metrics: program.exposeMetrics,
    telemetry: program.httpTelemetry,
    notReady: () => notReady,
    desk: () => desk,
    starting: () => desk === undefined && !signal.aborted,
  };
  const served = await serve(context, options, stack, site);

  const forgotten = await program.forgetOthers();
  if (forgotten.length > 0) log.info({ repos: forgotten }, "repos forgotten that are not configured any more");
  await controller.load();
  controller.start(signal);
  const control = await startControlServer(controller, program.controlSocket);
  stack.defer(() => control.close());
  desk = program.desk;
  notReady = null;
  log.info({ ...served, dataDir: context.dataDir }, "controller started");

  await aborted(signal);
  notReady = "stopping";
  await drain(context, desk, DRAIN_DEADLINE);
}

async function runInCluster(context: Context, options: InKubernetes & LeaderElection & ServerOptions): Promise<void> {
  const { build, log, signal } = context;
  await using cluster = await build.cluster({ ...context, ...options }, log);
  await using stack = new AsyncDisposableStack();
  const site: Site = {
    version: build.version,
    metrics: cluster.exposeMetrics,
    telemetry: cluster.httpTelemetry,
    notReady: () => (signal.aborted ? "stopping" : cluster.notReady()),
    desk: () => cluster.desk(),
    starting: () => cluster.starting(),
    leaderApi: cluster.leaderApi,
  };
  const served = await serve(context, options, stack, site, cluster.access);
  log.info({ ...served, dataDir: context.dataDir }, "controller started");
  const deadline = options.leaderElect ? HANDOVER_DEADLINE : DRAIN_DEADLINE;
  const api = apiOf(context.listen, served.address);
  await cluster.run({ lead: (leadership) => lead(context, leadership, deadline), api, signal });
}

/** One time as leader: until this process is told to stop, or another one may lead. */
async function lead(context: Context, leadership: Leadership, deadline: number): Promise<void> {
  const { log, signal } = context;
  const { controller, controlSocket, start, lost } = leadership;
  const over = AbortSignal.any([signal, lost]);
  lost.addEventListener("abort", () => controller.kill(), { once: true });
  const control = await startControlServer(controller, controlSocket);
  try {
    await orAborted(start(), over);
    await aborted(over);
    if (lost.aborted) log.warn("leadership is lost: the syncs under way were ended");
    else await drain(context, leadership, deadline);
  } finally {
    await control.close();
  }
}

/** What was begun goes on meanwhile and is answered; nothing else is begun. */
async function drain(
  { log, impatient }: Context,
  { controller, operations }: Pick<SiteDesk, "controller" | "operations">,
  deadline: number,
): Promise<void> {
  operations.refuse(new FssyncError("Interrupted", "fssync was told to stop"));
  impatient.addEventListener("abort", () => controller.kill(), { once: true });
  const drained = await controller.drain(deadline);
  if (drained) log.info("drained");
  else log.warn({ deadline }, "syncs under way were ended; they run again after the restart");
}

/** Returns where the API and the metrics are. */
async function serve(
  context: Context,
  options: ServerOptions,
  stack: AsyncDisposableStack,
  site: Site,
  byKubernetes: Access | null = null,
): Promise<{ address: string; metrics: string }> {
  const { listen: listenOn, log } = context;
  const { metricsListen, compat, compatAnonymous } = options;
  const tls = await loadCertificate(options, { clock: systemClock, log });
  const server = await publicServer({
    site,
    ...(tls && { tls }),
    access: await openAccess(context, options, stack, byKubernetes),
    ...(compat && { compat: { anonymous: compatAnonymous } }),
    metricsElsewhere: metricsListen !== undefined,
    clock: systemClock,
    log: log.child({ in: "http" }),
  });
  stack.defer(() => server.close());
  const elsewhere = metricsListen === undefined ? undefined : metricsServer(site);
  if (elsewhere) stack.defer(() => elsewhere.close());
  const metrics = elsewhere && (await listen(elsewhere, metricsListen!, "--metrics-listen"));
  const address = await listen(server, listenOn);
  return { address, metrics: `${metrics ?? address}/metrics` };
}
