import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";

/** The names of the design. */
export const EVENT_REASONS = [
  "NewRevision",
  "SyncSucceeded",
  "SyncFailed",
  "HostAdded",
  "HostRemoved",
  "ConfigDriftDetected",
  "InventorySuspicious",
  "PruneLimitExceeded",
  "ResyncRequested",
] as const;

export type EventReason = (typeof EVENT_REASONS)[number];

/** What an event is about: one app of a host, a host, an app, or the repo itself when neither is named. */
export interface EventSubject {
  readonly app?: AppKey;
  readonly host?: HostKey;
}

/** Tells people what happened, beside the log: Kubernetes Events. It never blocks and never throws. */
export interface Events {
  record(about: EventSubject, type: "Normal" | "Warning", reason: EventReason, message: string): void;
}
