import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { MAX_DRIFTED_FILES, recurringPaths, type ReplacedFile } from "../model/drift.ts";
import { REASONS, type Reason } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import { displayPath } from "../model/path.ts";
import type { AppRecord, Problem } from "../model/record.ts";
import type { Revision } from "../model/revision.ts";
import type { Clock } from "../ports/clock.ts";
import type { Events, EventSubject } from "../ports/events.ts";
import type { Discovery } from "../ports/git-source.ts";
import type { RepoTelemetry, SyncResult } from "../ports/telemetry.ts";
import { firstReplaced } from "./drift-record.ts";
import type { AppOutcome } from "./host-reconciler.ts";
import type { VerifyOutcome } from "./verification/host-verifier.ts";
import type { FoundFile } from "./verification/looks.ts";

/** Hosts named in one log line; the rest are a number. */
const NAMED = 20;
/** Files named in an event. */
const SHOWN = 5;

/** What became of files that somebody else had changed. */
const REPLACED = {
  synced: "files changed by hand were laid over by a sync",
  healed: "files healed",
  failed: "versions changed by hand were kept, and laying Git's over them failed",
} as const;

export interface ReportOptions {
  readonly telemetry: RepoTelemetry;
  readonly events?: Events;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Tells log, metrics and events what happened. The `event` field holds the design's event names; each is told once. */
export class Report {
  readonly #telemetry: RepoTelemetry;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #events: Events | undefined;
  /** Whether outcomes could be recorded the last time. */
  #recording = true;

  constructor({ telemetry, events, clock, log }: ReportOptions) {
    this.#telemetry = telemetry;
    this.#clock = clock;
    this.#log = log;
    this.#events = events;
  }

  newRevision({ revision, apps, warnings }: Discovery, changed: number): void {
    this.#log.info({ event: "NewRevision", revision, apps: apps.size, changed }, "new revision");
    this.#events?.record({}, "Normal", "NewRevision", `${revision}: ${changed} of ${apps.size} apps changed`);
    for (const { path, reason, message } of warnings) this.#log.warn({ revision, path, reason, message }, "not synced");
  }

  hosts(added: ReadonlySet<HostKey>, removed: ReadonlySet<HostKey>): void {
    if (added.size > 0) {
      this.#log.info({ event: "HostAdded", ...named(added) }, "hosts added");
      this.#events?.record({}, "Normal", "HostAdded", listed(added));
    }
    if (removed.size > 0) {
      this.#log.info({ event: "HostRemoved", ...named(removed) }, "hosts removed");
      this.#events?.record({}, "Normal", "HostRemoved", `${listed(removed)}; their files are left alone`);
    }
  }

  resyncRequested(about: EventSubject, by: string, revision: Revision | null): void {
    this.#log.info({ event: "ResyncRequested", ...about, by, revision }, "forced resync asked for");
    this.#events?.record(about, "Normal", "ResyncRequested", `asked for by ${by}`);
  }

  problems(about: "git" | "inventory", fresh: readonly Problem[], solved: boolean): void {
    for (const { reason, message } of fresh) {
      const event = reason === "InventorySuspicious" ? { event: reason } : {};
      this.#log.warn({ ...event, about, reason, message, next: REASONS[reason].next }, "the last good answer holds");
      if (reason === "InventorySuspicious") this.#events?.record({}, "Warning", reason, message);
    }
    if (solved) this.#log.info({ about }, "in order again");
  }

  outcomes(host: HostKey, outcomes: readonly AppOutcome[], seconds: number): void {
    if (outcomes.some(({ error }) => !error)) this.#recording = true;
    const told = outcomes.filter(({ error }) => error?.reason !== "Interrupted");
    const sent = told.filter((outcome) => outcome.sent);
    if (sent.length > 0) this.#telemetry.synced(syncResult(sent), seconds);
    const synced = sent.filter(({ error }) => !error).map(({ desired }) => desired.key);
    if (synced.length > 0) this.#log.info({ event: "SyncSucceeded", host, apps: synced, seconds }, "host synced");
    for (const outcome of told) {
      const { desired, before } = outcome;
      const replaced = firstReplaced(before, outcome.replaced);
      this.#replaced(host, desired.key, replaced, outcome.error ? "failed" : "synced");
      this.#recurring(host, desired.key, before, replaced);
      if (outcome.error) this.#failed(host, outcome);
      else this.#arrived(outcome);
    }
  }

  /** What a look at a host found that was not known before. */
  verified(
    host: HostKey,
    { apps, healed, error }: VerifyOutcome,
    before: ReadonlyMap<AppKey, AppRecord>,
    seconds: number,
  ): void {
    const findings = [...apps.values()];
    const drifted = findings.some(({ files }) => files.length > 0);
    const failed = error ?? findings.find((finding) => finding.error)?.error;
    this.#telemetry.verified(failed ? outcomeOf(failed.reason) : drifted ? "drifted" : "clean", seconds);
    this.#notVerified(host, apps, before);
    for (const [app, finding] of apps) {
      this.#drifted(host, app, finding.files, before.get(app));
      const replaced = firstReplaced(before.get(app), healed.get(app) ?? []);
      this.#replaced(host, app, replaced, finding.error ? "failed" : "healed");
      this.#recurring(host, app, before.get(app), replaced);
    }
  }

  /** The store or the mirror refused a write; that befalls all hosts at once, so it is said loudly once. */
  notRecorded(host: HostKey, err: unknown): void {
    const level = this.#recording ? "error" : "debug";
    this.#recording = false;
    this.#log[level]({ err, host }, "outcomes cannot be recorded, the hosts are synced again");
  }

  #arrived({ desired, before }: AppOutcome): void {
    if (before.lagSince === null) return;
    this.#telemetry.propagated((this.#clock.now() - Math.max(desired.seenAt, before.lagSince)) / 1000);
  }

  /** What concerns the host as a whole is one error of all its apps, and one line. */
  #notVerified(
    host: HostKey,
    findings: VerifyOutcome["apps"],
    before: ReadonlyMap<AppKey, Pick<AppRecord, "failure">>,
  ): void {
    const errors = Map.groupBy(findings.keys(), (app) => findings.get(app)!.error);
    for (const [error, apps] of errors) {
      if (!error) continue;
      const { reason, message } = error;
      const facts = { host, apps: apps.slice(0, NAMED), reason, message, next: REASONS[reason].next };
      const known = apps.every((app) => before.get(app)?.failure?.reason === reason);
      if (known) this.#log.debug(facts, "host still not verified");
      else
        this.#log.warn(
          facts,
          apps.some((app) => findings.get(app)!.files.length > 0) ? "host not healed" : "host not verified",
        );
    }
  }

  /** Files that somebody else changed; those that were told before are not told again. */
  #drifted(host: HostKey, app: AppKey, files: readonly FoundFile[], before: AppRecord | undefined): void {
    const known = new Set(before?.drift?.files.map(({ path, change }) => `${change} ${path}`));
    // Of more nobody remembers what was told.
    const fresh = files
      .slice(0, MAX_DRIFTED_FILES)
      .filter(({ entry, change }) => !known.has(`${change} ${entry.path}`));
    // Of an app that was never synced nobody has changed anything.
    if (fresh.length === 0 || !before?.digest) return;
    const changes = fresh.map(({ entry, change }) => `/${displayPath(entry.path)} (${change})`);
    const facts = { event: "ConfigDriftDetected", host, app, count: files.length, files: changes.slice(0, NAMED) };
    this.#log.warn(facts, "files on a host were changed by somebody else");
    this.#events?.record(
      { app, host },
      "Warning",
      "ConfigDriftDetected",
      `${app}: changed on the host: ${some(changes)}`,
    );
  }

  /** What was laid over hand-made changes: by a sync, because Git changed it too, or to heal. */
  #replaced(host: HostKey, app: AppKey, files: readonly ReplacedFile[], why: keyof typeof REPLACED): void {
    if (files.length === 0) return;
    this.#telemetry.replaced(files.length);
    const told = files.map(
      ({ path, change, kept }) => `/${displayPath(path)} (${change}${kept ? `, kept as ${displayPath(kept)}` : ""})`,
    );
    const facts = { event: "ConfigDriftDetected", host, app, count: files.length, files: told.slice(0, NAMED) };
    const what = REPLACED[why];
    this.#log.warn(facts, what);
    this.#events?.record({ app, host }, "Warning", "ConfigDriftDetected", `${app}: ${what}: ${some(told)}`);
  }

  /** Somebody changes it back again and again: a fight that a person must end. */
  #recurring(host: HostKey, app: AppKey, before: AppRecord | undefined, fresh: readonly ReplacedFile[]): void {
    if (fresh.length === 0) return;
    const replaced = [...(before?.drift?.replaced ?? []), ...fresh];
    const recurring = recurringPaths({ files: [], count: 0, replaced }, this.#clock.now());
    const told = recurring
      .filter((path) => fresh.some((file) => file.path === path))
      .map((path) => `/${displayPath(path)}`);
    if (told.length === 0) return;
    const next = "find out who changes it on the host; change it in Git instead, or name it in drift.ignore";
    const facts = { event: "ConfigDriftDetected", host, app, files: told.slice(0, NAMED), next };
    this.#log.error(facts, "files drift again and again");
    const message = `${app}: changed three times or more within a day: ${some(told)}; ${next}`;
    this.#events?.record({ app, host }, "Warning", "ConfigDriftDetected", message);
  }

  #failed(host: HostKey, { desired, before, error }: AppOutcome): void {
    const { reason, message } = error!;
    const event = reason === "PruneLimitExceeded" ? reason : "SyncFailed";
    const facts = { event, host, app: desired.key, reason, message, next: REASONS[reason].next };
    if (before.failure?.reason === reason) return this.#log.debug(facts, "host still not synced");
    this.#log.warn(facts, "host not synced");
    const app = desired.key;
    const about = event === "PruneLimitExceeded" ? { app } : { app, host };
    this.#events?.record(about, "Warning", event, `${desired.key}: ${reason}: ${message}`);
  }
}

function syncResult(outcomes: readonly AppOutcome[]): SyncResult {
  const failed = outcomes.flatMap(({ error }) => error ?? []);
  if (failed.length === 0) return "success";
  return failed.every(({ reason }) => REASONS[reason].state === "Unreachable") ? "unreachable" : "failed";
}

function outcomeOf(reason: Reason): "unreachable" | "failed" {
  return REASONS[reason].state === "Unreachable" ? "unreachable" : "failed";
}

function some(texts: readonly string[]): string {
  const rest = texts.length - SHOWN;
  return `${texts.slice(0, SHOWN).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

function listed(keys: ReadonlySet<HostKey>): string {
  const { count, hosts } = named(keys);
  return `${count} ${count === 1 ? "host" : "hosts"}: ${hosts.join(", ")}${count > hosts.length ? ", …" : ""}`;
}

function named(keys: ReadonlySet<HostKey>): { count: number; hosts: HostKey[] } {
  return { count: keys.size, hosts: [...keys].slice(0, NAMED) };
}
