import type { Logger } from "pino";
import type { AppKey } from "../../model/app.ts";
import { rememberedDrift, type DriftedFile, type ReplacedFile } from "../../model/drift.ts";
import { asFssyncError, FssyncError } from "../../model/errors.ts";
import type { HostKey } from "../../model/host.ts";
import { displayPath } from "../../model/path.ts";
import type { AppRecord } from "../../model/record.ts";
import { byChange, findDrift, isHidden } from "../../plan/drift.ts";
import { isDown, isUnfinished, lags, needsLook } from "../../plan/state.ts";
import type { Clock } from "../../ports/clock.ts";
import type { GitSource } from "../../ports/git-source.ts";
import type { FileFact, Transport } from "../../ports/transport.ts";
import type { Collector } from "../collector.ts";
import { logUnrecorded, withDrift, withReplaced } from "../drift-record.ts";
import type { DriftOptions } from "../drift-options.ts";
import { failureAfter } from "../failure.ts";
import type { FleetApp } from "../desired-apps.ts";
import type { Fleet, FleetHost } from "../fleet.ts";
import type { Records } from "../records.ts";
import type { Suspension } from "../suspension.ts";
import { Checklists, type Checklist } from "./checklists.ts";
import { Healer } from "./healer.ts";
import type { AppFinding, HostFinding } from "./looks.ts";

export interface HostVerifierOptions {
  readonly fleet: Fleet;
  readonly source: GitSource;
  readonly transport: Transport;
  readonly records: Records;
  readonly collector: Collector;
  readonly suspension: Suspension;
  readonly drift: DriftOptions;
  /** Whether fssync works as root on hosts whatever the login is. */
  readonly sudo: boolean;
  /** Wall clock for one host, milliseconds. */
  readonly timeout: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What came of one look at one host. */
export interface VerifyOutcome extends HostFinding {
  /** Files that were healed, by app. */
  readonly healed: ReadonlyMap<AppKey, readonly ReplacedFile[]>;
  /** Why the host, or healing it, failed; null when nothing did. */
  readonly error: FssyncError | null;
}

/** One look at what one host has: compares its files with what they should be, heals where that is asked for, records it. */
export class HostVerifier {
  readonly #options: HostVerifierOptions;
  readonly #checklists: Checklists;
  readonly #healer: Healer;

  constructor(options: HostVerifierOptions) {
    this.#options = options;
    this.#checklists = new Checklists({ ...options, isIgnored: options.drift.isIgnored });
    this.#healer = new Healer(options);
  }

  /** The apps of a host that a look of its own accord is for: once synced, and not suspended. */
  settled({ key, apps, records }: FleetHost): FleetApp[] {
    const { fleet, suspension } = this.#options;
    const mayLook = (app: FleetApp) => isSettled(records.get(app.key)) && !suspension.holds(app.key, key);
    return desiredApps(fleet, apps).filter(mayLook);
  }

  /**
   * Looks at these apps of a host, and heals them unless `onlyLook`. Rejects when the store did not take what
   * was found; null when there is nothing to look at, or the signal aborted.
   */
  async verify(
    key: HostKey,
    wanted: ReadonlySet<AppKey>,
    { signal, onlyLook }: { readonly signal: AbortSignal; readonly onlyLook: boolean },
  ): Promise<VerifyOutcome | null> {
    const { fleet, drift, collector } = this.#options;
    const host = fleet.hosts.get(key);
    const apps = host ? desiredApps(fleet, host.apps).filter((app) => wanted.has(app.key)) : [];
    if (!host || apps.length === 0) return null;
    using _ = collector.hold(apps);
    const heals = drift.action === "heal" && !onlyLook;
    const found = await this.#look(host, apps, signal);
    if (found instanceof FssyncError && found.reason === "Interrupted") return null;
    const outcome = found instanceof FssyncError ? failed(apps, found) : await this.#heal(host, found, heals, signal);
    if (outcome.healed.size > 0) collector.mark();
    try {
      await this.#record(host, apps, outcome);
    } catch (error) {
      logUnrecorded(this.#options.log, key, outcome.healed);
      throw error;
    }
    return outcome;
  }

  async #look(
    host: FleetHost,
    apps: readonly FleetApp[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<AppKey, AppFinding> | FssyncError> {
    const { transport, timeout } = this.#options;
    try {
      const list = await this.#checklists.of(host, apps);
      const facts = list.files.length === 0 ? [] : await transport.inspect(host.host, list.files, { timeout, signal });
      return this.#judge(host, list, facts);
    } catch (thrown) {
      const error = asFssyncError(thrown);
      if (error.reason === "Internal") this.#options.log.error({ err: thrown, host: host.key }, "verification failed");
      return error;
    }
  }

  #judge({ host }: FleetHost, { apps }: Checklist, facts: readonly FileFact[]): Map<AppKey, AppFinding> {
    const givesAway = this.#options.sudo || host.user === "root";
    return new Map(
      apps.map(({ app, start, files, ...expectation }) => {
        const own = facts.slice(start, start + files.length);
        const found = findDrift({ ...expectation, files, givesAway }, own).toSorted(byChange);
        const told = new Set(found.map(({ entry }) => entry));
        const hidden = files.find((entry, index) => isHidden(own[index]!) && !told.has(entry));
        return [app, { files: found, error: hidden ? notSeen(hidden.path) : null }];
      }),
    );
  }

  async #heal(
    host: FleetHost,
    apps: ReadonlyMap<AppKey, AppFinding>,
    heals: boolean,
    signal: AbortSignal,
  ): Promise<VerifyOutcome> {
    const { fleet, suspension } = this.#options;
    const sick = [...(heals ? apps : [])].filter(([key, { files }]) => {
      const desired = fleet.desired.get(key);
      const record = host.records.get(key);
      const atRest = desired && record && !lags(record, desired) && !desired.refused;
      return atRest && files.length > 0 && !suspension.holds(key, host.key);
    });
    if (sick.length === 0) return { apps, healed: new Map(), error: null };
    const { healed, errors } = await this.#healer.heal(
      host,
      new Map(sick.map(([key, { files }]) => [key, files])),
      signal,
    );
    const after = new Map(apps);
    // What was told to stop did not fail: it goes on after the restart.
    const failures = [...errors].filter(([, { reason }]) => reason !== "Interrupted");
    for (const [key, error] of failures) after.set(key, { ...apps.get(key)!, error });
    return { apps: after, healed, error: failures[0]?.[1] ?? null };
  }

  async #record(host: FleetHost, apps: readonly FleetApp[], { apps: found, healed }: VerifyOutcome): Promise<void> {
    const { fleet, records, suspension, clock } = this.#options;
    const now = clock.now();
    // The inventory has given the host another root meanwhile: what was seen counts for nothing.
    if (fleet.hosts.get(host.key)?.host.root !== host.host.root) return;
    await records.put(host.key, apps, (record, { key }) => {
      const finding = found.get(key);
      // What was seen is of another version by now, or was never ours.
      const same = isSettled(record) && record.digest === host.records.get(key)?.digest;
      if (!finding || !same) return record;
      const seen = this.#afterLook(record, finding, healed.get(key) ?? [], now);
      const held = suspension.holds(key, host.key);
      return finding.error && !held ? this.#withFailure(seen, finding.error, now) : seen;
    });
  }

  /**
   * A sync's own failure says more than that of a look. Where nothing is looked at of its own accord nothing could
   * tell that it is over: then it is told to whoever asked, and to nobody else. So it is with what is suspended.
   */
  #withFailure(record: AppRecord, error: FssyncError, at: number): AppRecord {
    if (record.failure && !needsLook(record)) return record;
    if (this.#options.drift.interval === 0) return record.failure ? { ...record, failure: null } : record;
    return { ...record, failure: failureAfter(record.failure, error, { at, verifying: true }) };
  }

  #afterLook(record: AppRecord, { files, error }: AppFinding, healed: readonly ReplacedFile[], now: number): AppRecord {
    if (error && healed.length === 0 && files.length === 0) return record;
    // Where something failed nobody can tell yet which files are right.
    const right = new Set(error ? [] : healed.map(({ path }) => path));
    const drifted = files.filter(({ entry }) => !right.has(entry.path));
    const next = drifted.map(({ entry, change }): DriftedFile => {
      const known = record.drift?.files.find(({ path }) => path === entry.path);
      return { path: entry.path, change, since: known?.since ?? now };
    });
    const drift = rememberedDrift(next, withReplaced(record, healed, now), now);
    const seen = sameDrift(record.drift, drift) ? record : withDrift(record, drift);
    if (error || !seen.failure || !needsLook(seen)) return seen;
    // Why it cannot be healed is not over because somebody has looked.
    const unhealed = this.#options.drift.action === "heal" && drifted.length > 0 && !isDown(seen.failure.reason);
    return unhealed ? seen : { ...seen, failure: null };
  }
}

function desiredApps({ desired }: Fleet, keys: readonly AppKey[]): FleetApp[] {
  return keys.map((app) => desired.get(app)).filter((app) => app !== undefined && !app.retired) as FleetApp[];
}

/** Whether all of its files are known to be there by the record. */
function isSettled(record: AppRecord | undefined): record is AppRecord {
  return record !== undefined && record.digest !== null && !isUnfinished(record);
}

function failed(apps: readonly FleetApp[], error: FssyncError): VerifyOutcome {
  return { apps: new Map(apps.map(({ key }) => [key, { files: [], error }])), healed: new Map(), error };
}

function notSeen(path: string): FssyncError {
  return new FssyncError("PermissionDenied", `cannot read /${displayPath(path)} to compare it with Git`);
}

function sameDrift(a: AppRecord["drift"], b: AppRecord["drift"]): boolean {
  if (!a || !b) return a === b;
  const text = ({ files, count, replaced }: NonNullable<AppRecord["drift"]>) =>
    JSON.stringify([
      count,
      files.map(({ path, change }) => [path, change]),
      replaced.map(({ path, at }) => [path, at]),
    ]);
  return text(a) === text(b);
}
