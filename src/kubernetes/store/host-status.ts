import type { AppOnHost, Condition, ConfigHostStatus } from "../../config/resources.ts";
import type { AppKey } from "../../model/app.ts";
import { REASONS } from "../../model/errors.ts";
import type { AppRecord, DesiredRecord, HostRecord } from "../../model/record.ts";
import type { Revision } from "../../model/revision.ts";
import { worst, type State } from "../../model/state.ts";
import { stateOf } from "../../plan/state.ts";
import { isApplied } from "../applied.ts";
import { setConditions, timeText } from "../conditions.ts";
import { withinBudget } from "./host-budget.ts";
import { hostConditions, type AppState } from "./host-conditions.ts";
import { shortened } from "./shorten.ts";
import { driftOnHost } from "./stored-drift.ts";
import { appText } from "./text.ts";

export interface HostStatusOptions {
  readonly record: HostRecord;
  /** The commit that hosts follow now. */
  readonly revision: Revision | null;
  readonly desired: ReadonlyMap<AppKey, DesiredRecord>;
  readonly suspended: (app: AppKey) => boolean;
  /** Number of the last attempt that the record of an app covers; 0 for none. */
  readonly covered: ReadonlyMap<AppKey, number>;
  /** As they were stored the last time. */
  readonly conditions: readonly Condition[];
  readonly now: number;
}

/** Every key that the store writes: one without a value is removed from what was stored before. */
export type HostStatusPatch = { readonly [Key in StoredKey]: ConfigHostStatus[Key] | null };
type StoredKey =
  | "root"
  | "fallback"
  | "apps"
  | "state"
  | "total"
  | "synced"
  | "lastSyncAt"
  | "lastAttemptedRevision"
  | "conditions";

/** Of a host that is gone. */
export const NO_RECORD: HostStatusPatch & Record<"lastAppliedRevision", null> = {
  root: null,
  fallback: null,
  apps: null,
  state: null,
  total: null,
  synced: null,
  lastSyncAt: null,
  lastAttemptedRevision: null,
  lastAppliedRevision: null,
  conditions: null,
};

const LONGEST_CONDITION_MESSAGE = 1024;

/** A host's record as its ConfigHost shows it. `lastAppliedRevision` is named only when it is known. */
export function hostStatus(
  options: HostStatusOptions,
): HostStatusPatch & Pick<ConfigHostStatus, "lastAppliedRevision"> {
  const { record, revision, now } = options;
  const shown = [...record.apps].map(([app, stored]) => ({ stored, ...appState(app, stored, options) }));
  const states = shown.map(({ state }) => state);
  const synced = states.filter((state) => state === "Synced").length;
  const wanted = hostConditions(shown).map((condition) => ({
    ...condition,
    message: shortened(condition.message, LONGEST_CONDITION_MESSAGE),
  }));
  const all = shown.length > 0 && shown.every(({ app, stored }) => isApplied(stored, options.desired.get(app)));
  return {
    root: record.root.toWellFormed(),
    fallback: record.fallback?.toWellFormed() ?? null,
    state: worst(states),
    total: shown.length,
    synced,
    lastSyncAt: timeOrNull(latest(shown.map(({ stored }) => stored.syncedAt))),
    lastAttemptedRevision: lastAttempted(record, options.desired),
    ...(all && revision !== null && { lastAppliedRevision: revision }),
    conditions: setConditions(options.conditions, wanted, now),
    apps: withinBudget(shown.map(({ app, stored, state }) => appOnHost(app, stored, state, options))),
  };
}

function appState(app: AppKey, record: AppRecord, { desired, suspended }: HostStatusOptions): AppState {
  const want = desired.get(app);
  const cause = want?.refused ?? record.failure;
  const { drift } = record;
  if (want === undefined) return { app, state: record.failure?.state ?? "Pending", cause, drift };
  return { app, state: stateOf(record, want, suspended(app)), cause, drift };
}

function appOnHost(app: AppKey, record: AppRecord, state: State, { covered }: HostStatusOptions): AppOnHost {
  const { digest, revision, syncedAt, unfinished, lagSince, failure, syncingSince, drift } = record;
  const attempt = covered.get(app) ?? 0;
  return {
    app: appText(app),
    state,
    ...(revision !== null && { revision }),
    ...(digest !== null && { digest }),
    ...(syncedAt !== null && { syncedAt: timeText(syncedAt) }),
    ...(lagSince !== null && { lagSince: timeText(lagSince) }),
    ...(syncingSince !== null && { syncingSince: timeText(syncingSince) }),
    ...(unfinished.length > 0 && { unfinished: [...unfinished] }),
    ...(attempt > 0 && { attempt }),
    ...(failure && {
      reason: failure.reason,
      message: failure.message.toWellFormed(),
      ...(REASONS[failure.reason].state !== failure.state && { failedState: failure.state }),
      failedAt: timeText(failure.at),
      attempts: failure.attempts,
      ...(failure.verifying && { verifying: true }),
    }),
    ...(drift && { drift: driftOnHost(drift) }),
  };
}

/** Of the app that something was tried of last. A look at what a host has tries no revision. */
function lastAttempted(record: HostRecord, desired: ReadonlyMap<AppKey, DesiredRecord>): Revision | null {
  let found: { at: number; revision: Revision } | null = null;
  for (const [app, { unfinished, revision, syncedAt, failure, syncingSince }] of record.apps) {
    const failedSync = failure?.verifying ? null : failure;
    const at = latest([syncedAt, failedSync?.at ?? null, syncingSince]);
    const failed = failedSync ? desired.get(app)?.revision : undefined;
    const tried = unfinished.at(-1) ?? failed ?? revision;
    if (tried && at !== null && (found === null || at >= found.at)) found = { at, revision: tried };
  }
  return found?.revision ?? null;
}

function latest(times: readonly (number | null)[]): number | null {
  return times.reduce((a, b) => (a === null || (b !== null && b > a) ? b : a), null);
}

function timeOrNull(time: number | null): string | null {
  return time === null ? null : timeText(time);
}
