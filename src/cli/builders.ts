import type { Logger } from "pino";
import type { SiteDesk } from "../http/site.ts";
import type { ConfigRepo } from "../config/schema.ts";
import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { Access } from "../ports/access.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { HttpTelemetry } from "../ports/http-telemetry.ts";
import type { StatusStore } from "../ports/status-store.ts";
import type { SuspendedTarget } from "../ports/suspender.ts";
import type { Controller } from "../reconcile/controller.ts";
import type { Operations } from "../reconcile/operations.ts";
import type { Globals, InKubernetes, LeaderElection, ServerOptions } from "./globals.ts";

/** What the composition root makes for commands; they know no adapter. */
export interface Builders {
  /** Of fssync. */
  readonly version: string;
  /** The whole program on its data dir. Throws DataDirInUse when another process has it. */
  program(globals: Globals, options: { log: Logger; retry: boolean }): Promise<Program>;
  /** The program in Kubernetes. Throws DataDirInUse, KubeconfigInvalid. */
  cluster(
    globals: Globals & InKubernetes & LeaderElection & Pick<ServerOptions, "kubernetesAuth">,
    log: Logger,
  ): Promise<Cluster>;
  /** Reads the status store beside a running controller. */
  statusReader(globals: Globals & InKubernetes, log: Logger): Promise<StatusReader>;
  /** A Git source in a folder of its own. */
  source(config: ConfigRepo, globals: Globals, dir: string, log: Logger): Promise<GitSource>;
  /** The socket of the controller that works on the data dir. */
  controlSocket(globals: Globals): string;
}

export interface StatusReader extends Pick<StatusStore, "load" | "repos">, AsyncDisposable {
  /** Whether people have stopped work there; in a file `spec.suspend` stops the repo whatever this says. */
  suspended(repo: string, app: AppKey, host: HostKey): boolean;
  /** What there is to be said of that: by whom, and why. */
  suspensions?(repo: string): readonly SuspendedTarget[];
  /** The same for a repo as a whole. */
  repoSuspended(repo: string): boolean;
  /** Where ConfigRepos are looked for, for people. */
  readonly where?: string;
}

/** One time as leader. */
export interface Leadership {
  readonly controller: Controller;
  readonly operations: Operations;
  readonly controlSocket: string;
  /** Takes up every ConfigRepo; resolves when each was looked at once. */
  readonly start: () => Promise<void>;
  /** Aborts when another process may lead: everything must end at once. */
  readonly lost: AbortSignal;
}

export interface Campaign {
  /** Resolves when its work is over. */
  readonly lead: (leadership: Leadership) => Promise<void>;
  /** Where the API of this process is, for those that follow; undefined when they cannot reach it. */
  readonly api: string | undefined;
  readonly signal: AbortSignal;
}

export interface Cluster extends AsyncDisposable {
  /** Prometheus' text format. */
  readonly exposeMetrics: () => Promise<string>;
  readonly httpTelemetry: HttpTelemetry;
  /** For the HTTP API, while this process leads and has taken up what there is. */
  readonly desk: () => SiteDesk | undefined;
  /** Whether this process leads and is about to take up what there is. */
  readonly starting: () => boolean;
  /** Why the process is of no use yet; null when it leads or follows. */
  readonly notReady: () => string | null;
  /** Where the API of another process is that leads; undefined while none does, or this one. */
  readonly leaderApi: () => string | undefined;
  /** Who may use the API, by the API server; null unless asked for. */
  readonly access: Access | null;
  /** Leads whenever it may, until the signal aborts. */
  run(campaign: Campaign): Promise<void>;
}

export interface Program extends AsyncDisposable {
  /** For the HTTP API. */
  readonly desk: SiteDesk;
  readonly controller: Controller;
  readonly controlSocket: string;
  /** See `Assembly`. */
  forgetOthers(): Promise<string[]>;
  /** Prometheus' text format. */
  readonly exposeMetrics: () => Promise<string>;
  readonly httpTelemetry: HttpTelemetry;
}
