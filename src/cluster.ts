import { hostname } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { assembleRepo, CONTROL_SOCKET, openDataDir, type Places } from "./assembly.ts";
import type { Cluster, Leadership } from "./cli/builders.ts";
import type { InKubernetes, LeaderElection, ServerOptions } from "./cli/globals.ts";
import { systemClock } from "./clock/system-clock.ts";
import { AccessReview } from "./kubernetes/access-review.ts";
import { KubeClient } from "./kubernetes/client.ts";
import { EventRecorder } from "./kubernetes/events.ts";
import { LeaderElector } from "./kubernetes/leader-elector.ts";
import type { BuildRepo } from "./kubernetes/running-repo.ts";
import { KubernetesStatusStore } from "./kubernetes/store/status-store.ts";
import { KubernetesStatusReader } from "./kubernetes/store/status-reader.ts";
import { StatusWriter } from "./kubernetes/store/status-writer.ts";
import { Supervisor } from "./kubernetes/supervisor.ts";
import type { Term } from "./kubernetes/term.ts";
import type { AppKey } from "./model/app.ts";
import { FssyncError } from "./model/errors.ts";
import type { HostKey } from "./model/host.ts";
import { Metrics } from "./metrics/metrics.ts";
import { Controller } from "./reconcile/controller.ts";
import { Operations } from "./reconcile/operations.ts";
import { alsoTo, RecentEvents } from "./reconcile/recent-events.ts";
import { KubernetesSuspender } from "./kubernetes/suspender.ts";
import type { SiteDesk } from "./http/site.ts";

/** How long the last records may take to be written when the controller ends. */
const LAST_WRITES = 3000;
const LEADERSHIP_LOST = "another process may lead now: what this one had begun it left to that one";

/** The status of all ConfigRepos, read beside the controller. */
export function clusterStatus(options: InKubernetes, log: Logger): KubernetesStatusReader {
  const client = KubeClient.load();
  const namespace = options.allNamespaces ? null : (options.namespace ?? client.namespace);
  return new KubernetesStatusReader({ client, namespace, log });
}

/** The program with Kubernetes as its source of ConfigRepos and its status store. Nothing is started. */
export async function assembleCluster(
  options: Places & InKubernetes & LeaderElection & Pick<ServerOptions, "kubernetesAuth">,
  { version, log }: { version: string; log: Logger },
): Promise<Cluster> {
  await using made = new AsyncDisposableStack();
  const { dataDir, runDir } = made.use(await openDataDir(options.dataDir));
  const client = made.use(KubeClient.load());
  const own = options.namespace ?? client.namespace;
  const namespace = options.allNamespaces ? null : own;
  const access = options.kubernetesAuth
    ? new AccessReview({ client: made.use(KubeClient.load()), namespace, clock: systemClock, log })
    : null;
  const metrics = new Metrics({ clock: systemClock, version });
  metrics.leader(false);
  const identity = process.env["POD_NAME"] ?? hostname();
  const sink = made.use(new EventRecorder({ client, clock: systemClock, log, instance: identity }));
  const around = {
    file: "",
    dataDir,
    runDir,
    allowFileUrls: options.allowFileUrls,
    metrics,
    retry: true,
    alone: false,
  };
  const elector = options.leaderElect
    ? new LeaderElector({
        client,
        namespace: own,
        identity,
        clock: systemClock,
        log,
      })
    : undefined;

  let desk: SiteDesk | undefined;
  let starting = false;

  async function lead(term: Term | undefined, work: (leadership: Leadership) => Promise<void>): Promise<void> {
    await using stack = new AsyncDisposableStack();
    metrics.leader(true);
    stack.defer(() => metrics.leader(false));
    const events = new RecentEvents({ clock: systemClock });
    const clock = systemClock;
    const writer = stack.use(new StatusWriter({ client, clock, log, mayWrite: () => term?.valid() ?? true }));
    const holds = (repo: string, app: AppKey, host: HostKey): boolean => supervisor.holds(repo, app, host);
    const keeps = (repo: string, host: HostKey): boolean => supervisor.isSuspendedHost(repo, host);
    const store = stack.use(new KubernetesStatusStore({ client, writer, suspended: holds, keeps, clock, log }));
    stack.defer(() => writer.flush(AbortSignal.timeout(LAST_WRITES)));
    const build: BuildRepo = (name, config, parts) => {
      const told = alsoTo(parts.events, events.forRepo(name));
      const repo = assembleRepo(config, {
        ...around,
        ...parts,
        events: told,
        name,
        store,
        log: log.child({ repo: name }),
      });
      return {
        controller: repo.controller,
        events: told,
        allow: (milliseconds) => repo.transport.allow?.(milliseconds),
        [Symbol.asyncDispose]: () => repo[Symbol.asyncDispose](),
      };
    };
    const controller = new Controller({ repos: [], clock, starting: true });
    const operations = stack.use(new Operations({ controller, clock }));
    const remaining = term && (() => term.remaining());
    const supervisor: Supervisor = stack.use(
      new Supervisor({
        ...around,
        client,
        namespace,
        build,
        store,
        writer,
        sink,
        controller,
        clock,
        log,
        ...(remaining && { remaining }),
      }),
    );
    term?.onRenewed(() => supervisor.allow(term.remaining()));
    term?.signal.addEventListener("abort", () => supervisor.allow(0), { once: true });
    const lost = term?.signal ?? new AbortController().signal;
    let over = false;
    const start = async () => {
      await supervisor.start();
      if (over) return;
      controller.started();
      starting = false;
      desk = { controller, operations, events, suspender };
    };
    const ended = () => operations.end(new FssyncError("Interrupted", LEADERSHIP_LOST));
    term?.signal.addEventListener("abort", ended, { once: true });
    const suspended = () => supervisor.suspended();
    const suspender = new KubernetesSuspender({ client, namespace, controller, suspended, clock });
    starting = true;
    stack.defer(() => {
      over = true;
      starting = false;
      desk = undefined;
    });
    await work({ controller, operations, controlSocket: join(runDir, CONTROL_SOCKET), start, lost });
  }

  let answered = false;
  const stack = made.move();
  return {
    exposeMetrics: () => metrics.expose(),
    httpTelemetry: metrics.http,
    desk: () => desk,
    starting: () => starting,
    notReady: () => {
      // Once is enough: an API server that goes away later must not take the pods out of service.
      answered ||= elector?.leader !== undefined;
      return elector && !answered ? "it is not known yet who leads: the API server has not answered" : null;
    },
    leaderApi: () => elector?.leaderApi,
    access,
    run: async ({ lead: work, api, signal }) => {
      if (elector) await elector.run({ signal, api, lead: (term) => lead(term, work) });
      else await lead(undefined, work);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
