import type { AppKey } from "../model/app.ts";
import type { Reason } from "../model/errors.ts";
import type { Revision } from "../model/revision.ts";
import type { State } from "../model/state.ts";

/** What the reconcile loop of one repo tells the outside in numbers. Times are milliseconds, durations seconds. */
export interface RepoTelemetry extends Disposable {
  readonly queue: QueueMetrics;
  fetched(result: "success" | "failure", at: number): void;
  inventoryRefreshed(result: "success" | "failure", at: number): void;
  synced(result: SyncResult, seconds: number): void;
  /** From the moment a revision was seen (or the host came) to the moment the host had it. */
  propagated(seconds: number): void;
  /** One look at what a host has. */
  verified(result: VerifyResult, seconds: number): void;
  /** So many files that somebody else had changed were laid over. */
  replaced(files: number): void;
  /** Somebody who is believed said over HTTP that something happened to the repo. */
  webhook(result: WebhookResult): void;
  /** Asks `fleet` at each scrape. */
  observe(fleet: FleetObservation): void;
}

export type SyncResult = "success" | "failed" | "unreachable";

export type VerifyResult = "clean" | "drifted" | "failed" | "unreachable";

/** `accepted` is looked after at once; `ignored` concerns another branch, or the repo is suspended. */
export type WebhookResult = "accepted" | "ignored";

export interface FleetObservation {
  readonly hosts: number;
  /** Of them those that got plain rsync the last time, though batches are what is meant for all. */
  readonly fallbackHosts: number;
  /** Connections to hosts that are open or being opened. */
  readonly connections: number;
  /** How many things are wrong with Git and the inventory now, by reason. */
  problems(): ReadonlyMap<Reason, number>;
  /** The repo always; apps and hosts only while they are suspended. */
  suspended(): readonly SuspendedObject[];
  /** The apps that moved since the last call; the first call gives all. Costs nothing for the others. */
  takeChanged(): Iterable<AppObservation>;
}

export interface SuspendedObject {
  readonly kind: "ConfigRepo" | "ConfigApp" | "ConfigHost";
  readonly name: string;
  readonly suspended: boolean;
}

export interface AppObservation {
  readonly app: AppKey;
  /** Null when the app is gone. */
  readonly current: {
    readonly revision: Revision;
    readonly hosts: Readonly<Record<State, number>>;
    readonly lagSince: number | null;
    /** Files on all its hosts that somebody else changed. */
    readonly driftedFiles: number;
    /** Of its files, those that drift again and again (`recurringPaths`), over all hosts. */
    readonly recurringFiles: number;
    /** Hosts by the reason why they failed or are held. */
    readonly failures: ReadonlyMap<Reason, number>;
  } | null;
}

/** What a queue tells about itself; client-go's `workqueue_*` metrics. Durations are in seconds. */
export interface QueueMetrics {
  depth(waiting: number): void;
  added(): void;
  retried(): void;
  queued(seconds: number): void;
  worked(seconds: number): void;
  unfinished(seconds: () => number): void;
}
