import type { AppKey } from "../../model/app.ts";
import type { FssyncError, Reason } from "../../model/errors.ts";
import type { HostKey } from "../../model/host.ts";
import type { Failure } from "../../model/record.ts";
import { isDown, needsLook } from "../../plan/state.ts";
import type { ContentPair } from "../../plan/verify-report.ts";
import type { Report } from "../report.ts";
import type { Operation, Selection } from "../requests.ts";
import { Contents } from "./contents.ts";
import { HostVerifier, type HostVerifierOptions, type VerifyOutcome } from "./host-verifier.ts";
import { Looks, type HostFinding, type Look } from "./looks.ts";
import { Patrol } from "./patrol.ts";
import { Places } from "./places.ts";

export interface VerificationOptions extends HostVerifierOptions {
  readonly report: Report;
  /** Hosts worked on at a time, whatever for. */
  readonly concurrency: number;
  /** Puts the host into the queue; its worker calls `serve`. */
  readonly enqueue: (key: HostKey) => void;
  /** Whether nothing is looked at of its own accord now. */
  readonly paused: () => boolean;
}

export interface Turn {
  /** What somebody waits for. */
  readonly looks: readonly Look[];
  /** Whether the sync of this turn, if there was one, reached the host. */
  readonly reached: boolean;
  /** Apps whose sync somebody asked for: after a look that failed they are looked at again. */
  readonly asked: ReadonlySet<AppKey>;
  /** Whether the others are not. */
  readonly onlyAsked: boolean;
  readonly signal: AbortSignal;
}

/** Hosts that are looked at, and what was found on each once all were. */
export interface VerifyOperation extends Operation {
  readonly findings: ReadonlyMap<HostKey, HostFinding>;
  /** What Git and the hosts have of files that findings name, by their keys; what is missing was too much. */
  readonly contents: ReadonlyMap<string, ContentPair>;
}

/** Share of the workers that people who ask for looks may take: commits go on meanwhile. */
const ASKED_SHARE = 0.5;

/** Whether hosts have what was synced to them: asked at intervals, after a look that failed, and by people. */
export class Verification {
  readonly #options: VerificationOptions;
  readonly #verifier: HostVerifier;
  readonly #looks = new Looks();
  readonly #patrol: Patrol | undefined;
  /** Looks that people wait for. */
  readonly #asked: Places<Asked>;
  /** Ends what people wait for. */
  readonly #open = new Set<(error: FssyncError) => void>();
  #closed: FssyncError | null = null;

  constructor(options: VerificationOptions) {
    this.#options = options;
    this.#verifier = new HostVerifier(options);
    const { fleet, clock, log, drift } = options;
    const { interval, concurrency } = drift;
    const has = (key: HostKey) => fleet.hosts.has(key);
    const look = (key: HostKey) => this.#lookAt(key);
    this.#patrol = interval > 0 ? new Patrol({ interval, concurrency, has, look, clock, log }) : undefined;
    this.#patrol?.add(fleet.hosts.keys());
    const count = Math.max(1, Math.floor(options.concurrency * ASKED_SHARE));
    this.#asked = new Places({ count, work: (asked) => this.#ask(asked) });
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
    const { fleet } = this.#options;
    const shown = contents ? new Contents(this.#options) : undefined;
    const named = hosts ?? (apps && new Set([...apps].flatMap((app) => [...fleet.hostsOf(app)])));
    const keys = [...(named ?? fleet.hosts.keys())].filter((key) => fleet.hosts.has(key));
    const findings = new Map<HostKey, HostFinding>();
    const listeners: ((key: HostKey, left: number) => void)[] = [];
    const { promise: finished, resolve, reject } = Promise.withResolvers<void>();
    finished.catch(() => {});
    let left = keys.length;
    const finishIfDone = () => {
      if (left > 0) return;
      this.#open.delete(reject);
      resolve();
    };
    this.#open.add(reject);
    finishIfDone();
    for (const key of keys) {
      const done = (finding: HostFinding | null) => {
        left -= 1;
        if (finding) findings.set(key, finding);
        for (const listener of listeners) listener(key, left);
        finishIfDone();
      };
      this.#asked.add({ key, look: { apps: apps ?? new Set(fleet.hosts.get(key)!.apps), contents: shown, done } });
    }
    if (this.#closed) this.close(this.#closed);
    const onAttempted = (listener: (key: HostKey, left: number) => void) => void listeners.push(listener);
    return { hosts: new Set(keys), finished, findings, contents: shown?.pairs ?? new Map(), onAttempted };
  }

  /** Nothing is looked at any more: what people wait for ends with the error, now and later. */
  close(error: FssyncError): void {
    this.#closed ??= error;
    for (const end of this.#open) end(this.#closed);
    this.#open.clear();
  }

  /** The looks that the turn which begins now is for. */
  take(key: HostKey): readonly Look[] {
    return this.#looks.take(key);
  }

  /**
   * What is to be seen on a host whose turn it is, after the sync of the same turn. Returns whether another
   * look must follow. Rejects when the store did not take what was found.
   */
  async serve(key: HostKey, { looks, reached, asked, onlyAsked, signal }: Turn): Promise<boolean> {
    const failing = this.#failing(key, (app, { reason }) => asked.has(app) || (!onlyAsked && this.#looksAgain(reason)));
    if (looks.length + failing.size === 0) return false;
    let outcome: VerifyOutcome | null = null;
    // Whoever was not reached a moment ago is not asked again at once, unless somebody waits for what comes of it.
    if (reached || looks.some(({ apps }) => apps)) outcome = await this.#look(key, looks, failing, signal);
    for (const look of looks) look.done(outcome && (await this.#shown(key, outcome, look, signal)));
    return this.#failing(key, (_, { reason }) => this.#looksAgain(reason)).size > 0;
  }

  /** The host's turn came to nothing: nobody shall wait for it. */
  giveUp(looks: readonly Look[]): void {
    for (const look of looks) look.done(null);
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

  async #shown(key: HostKey, outcome: VerifyOutcome, { contents }: Look, signal: AbortSignal): Promise<HostFinding> {
    const { fleet, timeout, log } = this.#options;
    const host = fleet.hosts.get(key)?.host;
    if (!host || !contents) return outcome;
    try {
      return { apps: await contents.addTo(outcome.apps, host, { timeout, signal }) };
    } catch (err) {
      log.debug({ err, host: key }, "contents not read");
      return outcome;
    }
  }

  /**
   * A host that is down comes back at any time; one that refused will refuse again, and waits for its turn.
   * Without turns a failure is of an earlier configuration: one more look ends it.
   */
  #looksAgain(reason: Reason): boolean {
    return isDown(reason) || this.#options.drift.interval === 0;
  }

  /** Apps of which a look failed, in these ways. */
  #failing(key: HostKey, matches: (app: AppKey, failure: Failure) => boolean): ReadonlySet<AppKey> {
    const { fleet, suspension } = this.#options;
    const records = [...(fleet.hosts.get(key)?.records ?? [])];
    const failing = records.filter(
      ([app, record]) => needsLook(record) && !suspension.holds(app, key) && matches(app, record.failure!),
    );
    return new Set(failing.map(([app]) => app));
  }

  async #ask({ key, look }: Asked): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done: Look["done"] = (finding) => {
      look.done(finding);
      resolve();
    };
    this.#looks.add(key, { ...look, done });
    this.#options.enqueue(key);
    await promise;
  }

  /** A host that is down is asked again by its backoff, not by its turn. */
  async #lookAt(key: HostKey): Promise<void> {
    const { fleet, enqueue, paused, suspension } = this.#options;
    const host = fleet.hosts.get(key);
    const down = [...(host?.records ?? [])].some(
      ([app, { failure }]) => failure !== null && isDown(failure.reason) && !suspension.holds(app, key),
    );
    if (!host || paused() || down || this.#verifier.settled(host).length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#looks.add(key, { done: () => resolve() });
    enqueue(key);
    await promise;
  }
}

interface Asked {
  readonly key: HostKey;
  readonly look: Look;
}
