import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";

/** The names of the design. */
export type EventReason =
  | "NewRevision"
  | "SyncSucceeded"
  | "SyncFailed"
  | "HostAdded"
  | "HostRemoved"
  | "ConfigDriftDetected"
  | "InventorySuspicious"
  | "PruneLimitExceeded"
  | "ResyncRequested";

/** What an event is about; the repo itself when neither an app nor a host is named. */
export interface EventSubject {
  readonly app?: AppKey;
  readonly host?: HostKey;
}

/** Tells people what happened, beside the log: Kubernetes Events. It never blocks and never throws. */
export interface Events {
  record(about: EventSubject, type: "Normal" | "Warning", reason: EventReason, message: string): void;
}
