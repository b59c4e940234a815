import type { Logger } from "pino";
import type { AppKey } from "../../model/app.ts";
import type { HostKey } from "../../model/host.ts";
import type { AppRecord } from "../../model/record.ts";
import { needsLook } from "../../plan/state.ts";
import type { Clock } from "../../ports/clock.ts";
import type { GitSource } from "../../ports/git-source.ts";
import type { Transport } from "../../ports/transport.ts";
import type { DriftOptions } from "../drift-options.ts";
import type { Fleet } from "../fleet.ts";
import type { Report } from "../report.ts";
import type { Operation, Selection } from "../requests.ts";
import { withContents } from "./contents.ts";
import { HostVerifier, type HostVerifierOptions, type VerifyOutcome } from "./host-verifier.ts";
import { Looks, type HostFinding, type Look } from "./looks.ts";
import { Patrol } from "./patrol.ts";

export interface VerificationOptions extends HostVerifierOptions {
  readonly fleet: Fleet;
  readonly source: GitSource;
  readonly transport: Transport;
  readonly drift: DriftOptions;
  readonly report: Report;
  /** Puts the host into the queue; its worker calls `serve`. */
  readonly enqueue: (key: HostKey) => void;
  /** Whether nothing is looked at of its own accord now. */
  readonly paused: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Turn {
  /** Whether the sync of this turn, if there was one, reached the host. */
  readonly reached: boolean;
  /** Absent: after a look that failed any app is looked at again; else only these, and what somebody waits for. */
  readonly only?: ReadonlySet<AppKey> | undefined;
  readonly signal: AbortSignal;
}

/** Hosts that are looked at, and what was found on each once all were. */
export interface VerifyOperation extends Operation {
  readonly findings: ReadonlyMap<HostKey, HostFinding>;
}

/** Whether hosts have what was synced to them: asked at intervals, after a look that failed, and by people. */
export class Verification {
  readonly #options: VerificationOptions;
  readonly #verifier: HostVerifier;
  readonly #looks = new Looks();
  readonly #patrol: Patrol | undefined;

  constructor(options: VerificationOptions) {
    this.#options = options;
    this.#verifier = new HostVerifier(options);
    const { fleet, clock, log, drift } = options;
    const { interval, concurrency } = drift;
    const has = (key: HostKey) => fleet.hosts.has(key);
    const look = (key: HostKey) => this.#lookAt(key);
    this.#patrol = interval > 0 ? new Patrol({ interval, concurrency, has, look, clock, log }) : undefined;
    this.#patrol?.add(fleet.hosts.keys());
  }

  /** Looks at each host once in an interval, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#patrol?.run(signal);
  }

  /** Hosts that came. */
  add(keys: Iterable<HostKey>): void {
    this.#patrol?.add(keys);
  }

  /** Asks for a look at every selected host, out of turn: also at what is suspended or was never synced. */
  request({ apps, hosts }: Selection, { contents }: { readonly contents: boolean }): VerifyOperation {
    const { fleet, enqueue } = this.#options;
    const named = hosts ?? (apps && new Set([...apps].flatMap((app) => [...fleet.hostsOf(app)])));
    const keys = [...(named ?? fleet.hosts.keys())].filter((key) => fleet.hosts.has(key));
    const findings = new Map<HostKey, HostFinding>();
    const listeners: ((key: HostKey, left: number) => void)[] = [];
    const { promise: finished, resolve } = Promise.withResolvers<void>();
    let left = keys.length;
    if (left === 0) resolve();
    for (const key of keys) {
      const done = (finding: HostFinding | null) => {
        left -= 1;
        if (finding) findings.set(key, finding);
        for (const listener of listeners) listener(key, left);
        if (left === 0) resolve();
      };
      this.#looks.add(key, { apps: apps ?? new Set(fleet.hosts.get(key)!.apps), contents, done });
      enqueue(key);
    }
    return { hosts: new Set(keys), finished, findings, onAttempted: (listener) => void listeners.push(listener) };
  }

  /**
   * What is to be seen on a host whose turn it is, after the sync of the same turn. Returns whether another
   * look must follow. Rejects when the store did not take what was found.
   */
  async serve(key: HostKey, { reached, only, signal }: Turn): Promise<boolean> {
    const looks = this.#looks.take(key);
    const failing = only ? this.#failing(key).intersection(only) : this.#failing(key);
    if (looks.length + failing.size === 0) return false;
    let outcome: VerifyOutcome | null = null;
    let finding: HostFinding | null = null;
    try {
      // Whoever was not reached a moment ago is not asked again at once, unless somebody waits for what comes of it.
      if (reached || looks.some(({ apps }) => apps)) outcome = await this.#look(key, looks, failing, signal);
      finding = outcome && (await this.#shown(key, outcome, looks, signal));
    } finally {
      for (const look of looks) look.done(finding);
    }
    return this.#failing(key).size > 0;
  }

  /** The host's turn came to nothing: nobody shall wait for it. */
  giveUp(key: HostKey): void {
    for (const look of this.#looks.take(key)) look.done(null);
  }

  async #look(
    key: HostKey,
    looks: readonly Look[],
    failing: ReadonlySet<AppKey>,
    signal: AbortSignal,
  ): Promise<VerifyOutcome | null> {
    const { clock, report } = this.#options;
    const started = clock.monotonic();
    const before = this.#options.fleet.hosts.get(key)?.records ?? new Map();
    // Whoever asks to see what is there shall find it as it was.
    const onlyLook = looks.some(({ apps }) => apps);
    const outcome = await this.#verifier.verify(key, this.#wanted(key, looks, failing), { signal, onlyLook });
    if (outcome) report.verified(key, outcome, before, (clock.monotonic() - started) / 1000);
    return outcome;
  }

  /** What the looks of this turn want to see between them. */
  #wanted(key: HostKey, looks: readonly Look[], failing: ReadonlySet<AppKey>): ReadonlySet<AppKey> {
    const host = this.#options.fleet.hosts.get(key);
    if (!host) return failing;
    const own = () => new Set(this.#verifier.settled(host).map((app) => app.key));
    return looks.map(({ apps }) => apps ?? own()).reduce((all, apps) => all.union(apps), new Set(failing));
  }

  async #shown(
    key: HostKey,
    outcome: VerifyOutcome,
    looks: readonly Look[],
    signal: AbortSignal,
  ): Promise<HostFinding> {
    const { fleet, timeout, log } = this.#options;
    const host = fleet.hosts.get(key)?.host;
    if (!host || !looks.some(({ contents }) => contents)) return outcome;
    try {
      return { apps: await withContents(this.#options, host, outcome.apps, { timeout, signal }) };
    } catch (err) {
      log.debug({ err, host: key }, "contents not read");
      return outcome;
    }
  }

  #failing(key: HostKey): ReadonlySet<AppKey> {
    const { fleet, suspension } = this.#options;
    const records = [...(fleet.hosts.get(key)?.records ?? [])];
    const failing = records.filter(([app, record]) => needsLook(record) && !suspension.holds(app, key));
    return new Set(failing.map(([app]) => app));
  }

  /** A host that is down is asked again by its backoff, not by its turn. */
  async #lookAt(key: HostKey): Promise<void> {
    const { fleet, enqueue, paused, suspension } = this.#options;
    const host = fleet.hosts.get(key);
    const isDown = ([app, { failure }]: [AppKey, AppRecord]) =>
      failure?.state === "Unreachable" && !suspension.holds(app, key);
    const down = [...(host?.records ?? [])].some(isDown);
    if (!host || paused() || down || this.#verifier.settled(host).length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#looks.add(key, { done: () => resolve() });
    enqueue(key);
    await promise;
  }
}
