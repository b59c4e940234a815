import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { asFssyncError, FssyncError, leftHostUntouched } from "../model/errors.ts";
import type { ReplacedFile } from "../model/drift.ts";
import type { HostKey } from "../model/host.ts";
import type { AppRecord } from "../model/record.ts";
import { revisionCommit } from "../model/revision.ts";
import type { AppPlan } from "../plan/host-plan.ts";
import { needsSync } from "../plan/state.ts";
import type { Clock } from "../ports/clock.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { StatusStore } from "../ports/status-store.ts";
import type { Applied, HostChange, Outcome, Transport } from "../ports/transport.ts";
import type { Collector } from "./collector.ts";
import type { FleetApp } from "./desired-apps.ts";
import type { Fleet, FleetHost } from "./fleet.ts";
import type { Group, Groups } from "./groups.ts";
import { driftAfter, keptOnly, logUnrecorded, replacedFiles, withDrift } from "./drift-record.ts";
import { failureAfter } from "./failure.ts";
import { lagOf, MAX_UNFINISHED } from "./lag.ts";
import type { Records } from "./records.ts";
import type { AppWish } from "./requests.ts";
import type { Suspension } from "./suspension.ts";

export interface HostReconcilerOptions {
  readonly repo: string;
  readonly fleet: Fleet;
  readonly groups: Groups;
  readonly collector: Collector;
  readonly suspension: Suspension;
  readonly source: GitSource;
  readonly transport: Transport;
  readonly store: StatusStore;
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Logger;
  /** Wall clock for one host, milliseconds. */
  readonly timeout: number;
}

/** What came of one app in one attempt. */
export interface AppOutcome {
  readonly desired: FleetApp;
  /** The record before the attempt. */
  readonly before: AppRecord;
  readonly error: Pick<FssyncError, "reason" | "message"> | null;
  /** Whether anything of it was tried on the host. */
  readonly sent: boolean;
  /** What the plan had for it; null when nothing could be planned. */
  readonly laid: Pick<AppPlan, "send" | "delete"> | null;
  /** What somebody else had changed and this attempt has laid something over. */
  readonly replaced: readonly ReplacedFile[];
}

const NOTHING_SENT = { sent: false, laid: null, replaced: [] } as const;

/** A sync that takes longer than this is stored as `Syncing`: only slow hosts cost that write. */
const SHOW_SYNCING_AFTER = 2000;

/**
 * One look at one host: which of its apps lag, bring them forward in one go, record what came of it.
 * Level-triggered: it acts on what is true now, whatever the reason it was called for.
 */
export class HostReconciler {
  readonly #options: HostReconcilerOptions;

  constructor(options: HostReconcilerOptions) {
    this.#options = options;
  }

  /**
   * The outcome of every app that was looked at; empty when there was nothing to do. With `onlyWishes`
   * apps that nobody asked for are left as they are, as are those that are suspended. Rejects when the
   * store or the mirror refused a write; then the host counts as not synced.
   */
  async reconcile(
    key: HostKey,
    wishes: ReadonlyMap<AppKey, AppWish>,
    { signal, onlyWishes = false }: { signal: AbortSignal; onlyWishes?: boolean },
  ): Promise<readonly AppOutcome[]> {
    const { fleet } = this.#options;
    const host = fleet.hosts.get(key);
    if (!host) return [];
    const apps = host.apps.map((app) => fleet.desired.get(app)).filter((app) => app !== undefined);
    const { suspension } = this.#options;
    const wanted = apps
      .filter(({ key: app }) => {
        // Suspended since it was asked for, it waits: whoever suspends means what is queued too.
        const wish = wishes.get(app);
        return wish ? !suspension.holdsRequest(app, key, wish.askedOf) : !(onlyWishes || suspension.holds(app, key));
      })
      .filter((app) => needsSync(host.records.get(app.key), app) || wishes.get(app.key)?.full);
    if (wanted.length === 0) return [];
    using _ = this.#options.collector.hold(apps);
    const attempt = { host, apps, wanted, wishes, signal };
    const { outcomes, fallback } = await this.#bringForward(attempt);
    try {
      await this.#record(host, outcomes, fallback);
    } catch (error) {
      const replaced = outcomes.map((outcome) => [outcome.desired.key, outcome.replaced] as const);
      logUnrecorded(this.#options.log, key, replaced);
      throw error;
    }
    return outcomes;
  }

  async #bringForward(attempt: Attempt): Promise<Attempted> {
    const { host, apps, wanted, wishes } = attempt;
    let group: Group & AsyncDisposable;
    try {
      const lagging = await Promise.all(
        wanted.map((app) => lagOf(this.#options.source, host, app, wishes.get(app.key))),
      );
      group = await this.#options.groups.enter(apps, lagging);
    } catch (thrown) {
      const error = asFssyncError(thrown);
      if (error.reason === "Internal") this.#options.log.error({ err: thrown, host: host.key }, "planning failed");
      const unplanned = (desired: FleetApp) => ({ desired, before: host.records.get(desired.key)!, error });
      return { outcomes: wanted.map((desired) => ({ ...unplanned(desired), ...NOTHING_SENT })) };
    }
    await using _ = group;
    return await this.#send(attempt, group);
  }

  async #send({ host, apps: all, signal }: Attempt, group: Group): Promise<Attempted> {
    const { source, transport, timeout } = this.#options;
    const desiredOf = new Map(all.map((app) => [app.key, app]));
    let applied: Applied = { outcome: new Map(), replaced: new Map() };
    if (group.prepared) {
      const apps = group.prepared.change.apps.map(({ app }) => desiredOf.get(app)!);
      await source.pin(new Set(apps.filter(({ retired }) => !retired).map((app) => revisionCommit(app.revision))));
      await this.#begin(host, apps);
      using _ = this.#showSyncing(host, apps);
      applied = await transport.apply(host.host, group.prepared, { timeout, signal });
    }
    const { outcome } = applied;
    const outcomes = group.plan.apps.map((plan): AppOutcome => {
      const { app, action, refusal } = plan;
      const error = refusal ?? group.unready.get(app) ?? (action === "send" ? named(app, outcome) : null);
      const found = replacedFiles(plan, applied.replaced.get(app) ?? [], this.#options.clock.now());
      const replaced = error ? keptOnly(found) : found;
      const [desired, before] = [desiredOf.get(app)!, host.records.get(app)!];
      return { desired, before, error, sent: outcome.has(app), laid: plan, replaced };
    });
    return { outcomes, fallback: fallbackAfter(group.prepared?.change, applied) };
  }

  /** Notes what is about to be sent, so that a partial transfer is known whatever ends this process. */
  async #begin(host: FleetHost, apps: readonly FleetApp[]): Promise<void> {
    const { fleet, store, repo, records } = this.#options;
    const changed = records.inMemory(host.key, apps, (record, { revision }) =>
      record.unfinished.at(-1) === revision
        ? record
        : { ...record, unfinished: [...record.unfinished, revision].slice(-MAX_UNFINISHED) },
    );
    await records.store(changed, (begun) => store.begin(repo, fleet.recordOf(host.key)!, begun));
  }

  /** Stores a sync under way once it has taken a while, so that `status` shows a host that hangs. */
  #showSyncing(host: FleetHost, apps: readonly FleetApp[]): Disposable {
    const { clock, log } = this.#options;
    return clock.after(SHOW_SYNCING_AFTER, () => {
      const syncingSince = clock.now();
      this.#put(host.key, apps, (record) => ({ ...record, syncingSince })).catch((err: unknown) =>
        log.warn({ err, host: host.key }, "status not stored"),
      );
    });
  }

  /** The one place where the outcome of an attempt is written. */
  async #record(host: FleetHost, outcomes: readonly AppOutcome[], fallback: Attempted["fallback"]): Promise<void> {
    // Files were sent under a root that the inventory has changed meanwhile: they count for nothing.
    if (this.#options.fleet.hosts.get(host.key)?.host.root !== host.host.root) return;
    const outcomeOf = new Map(outcomes.map((outcome) => [outcome.desired.key, outcome]));
    const apps = outcomes.map(({ desired }) => desired);
    await this.#put(host.key, apps, (record, { key }) => this.#after(record, outcomeOf.get(key)!), fallback);
  }

  #after(record: AppRecord, outcome: AppOutcome): AppRecord | null {
    const { desired, before, error, sent } = outcome;
    const now = this.#options.clock.now();
    const kept = driftAfter(record, outcome, now);
    const ended = kept.syncingSince === null ? kept : { ...kept, syncingSince: null };
    if (error?.reason === "Interrupted") return ended;
    if (error) {
      const unfinished = sent && leftHostUntouched(error.reason) ? before.unfinished : ended.unfinished;
      const failure = failureAfter(record.failure, error, { at: now });
      const same = failure === ended.failure && unfinished === ended.unfinished;
      return same ? ended : { ...ended, failure, unfinished };
    }
    if (desired.retired) {
      // It may have come back to Git meanwhile: then the host has nothing of it.
      const gone = this.#options.fleet.desired.get(desired.key)?.retired === true;
      if (gone) return null;
      return finished({ ...withDrift(ended, undefined), digest: null, revision: null, syncedAt: null });
    }
    if (!sent && ended.digest === desired.digest) return finished(ended);
    const { digest, revision } = desired;
    return finished({ ...ended, digest, revision, syncedAt: now });
  }

  async #put(
    key: HostKey,
    apps: readonly FleetApp[],
    change: (record: AppRecord, app: FleetApp) => AppRecord | null,
    fallback?: string | null,
  ): Promise<void> {
    const { fleet, store, repo, records } = this.#options;
    await records.put(key, apps, change, fallback);
    const retired = fleet.dropRetired();
    if (retired.size > 0) await store.save(repo, { apps: retired });
  }
}

interface Attempt {
  readonly host: FleetHost;
  /** Every app on the host. */
  readonly apps: readonly FleetApp[];
  /** Those to look at. */
  readonly wanted: readonly FleetApp[];
  readonly wishes: ReadonlyMap<AppKey, AppWish>;
  readonly signal: AbortSignal;
}

interface Attempted {
  readonly outcomes: readonly AppOutcome[];
  /** See `HostRecord.fallback`; null for none, undefined where the attempt tells nothing of it. */
  readonly fallback?: string | null | undefined;
}

/** A host that was not reached, or of which nothing was wanted, has not shown that it takes what others take. */
function fallbackAfter(change: HostChange | undefined, { outcome, fallback }: Applied): Attempted["fallback"] {
  if (fallback !== undefined || !change) return fallback;
  const moves = change.apps.some(({ send, delete: gone }) => send.length > 0 || gone.length > 0);
  return moves && outcome.values().some((error) => error === null) ? null : undefined;
}

/** Nothing counts as synced that the transport did not name. */
function named(app: AppKey, outcome: Outcome): FssyncError | null {
  const told = outcome.get(app);
  return told === undefined ? new FssyncError("Internal", `the transport says nothing about ${app}`) : told;
}

/** Nothing is left over of earlier attempts. */
function finished({ digest, revision, syncedAt, lagSince, syncingSince, drift }: AppRecord): AppRecord {
  const settled = { digest, revision, syncedAt, lagSince, syncingSince, unfinished: [], failure: null };
  return drift ? { ...settled, drift } : settled;
}
