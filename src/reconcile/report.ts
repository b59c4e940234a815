import type { Logger } from "pino";
import { REASONS } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import type { Problem } from "../model/record.ts";
import type { Clock } from "../ports/clock.ts";
import type { Events } from "../ports/events.ts";
import type { Discovery } from "../ports/git-source.ts";
import type { RepoTelemetry, SyncResult } from "../ports/telemetry.ts";
import type { AppOutcome } from "./host-reconciler.ts";

/** Hosts named in one log line; the rest are a number. */
const NAMED = 20;

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
      if (outcome.error) this.#failed(host, outcome);
      else this.#arrived(outcome);
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

  #failed(host: HostKey, { desired, before, error }: AppOutcome): void {
    const { reason, message } = error!;
    const event = reason === "PruneLimitExceeded" ? reason : "SyncFailed";
    const facts = { event, host, app: desired.key, reason, message, next: REASONS[reason].next };
    if (before.failure?.reason === reason) return this.#log.debug(facts, "host still not synced");
    this.#log.warn(facts, "host not synced");
    const about = event === "PruneLimitExceeded" ? { app: desired.key } : { host };
    this.#events?.record(about, "Warning", event, `${desired.key}: ${reason}: ${message}`);
  }
}

function syncResult(outcomes: readonly AppOutcome[]): SyncResult {
  const failed = outcomes.flatMap(({ error }) => error ?? []);
  if (failed.length === 0) return "success";
  return failed.every(({ reason }) => REASONS[reason].state === "Unreachable") ? "unreachable" : "failed";
}

function listed(keys: ReadonlySet<HostKey>): string {
  const { count, hosts } = named(keys);
  return `${count} ${count === 1 ? "host" : "hosts"}: ${hosts.join(", ")}${count > hosts.length ? ", …" : ""}`;
}

function named(keys: ReadonlySet<HostKey>): { count: number; hosts: HostKey[] } {
  return { count: keys.size, hosts: [...keys].slice(0, NAMED) };
}
