import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { jittered, type Clock } from "../ports/clock.ts";
import { apiError, isConflict, isNotFound } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import { Informer } from "./informer.ts";
import { LeaseObserver } from "./lease-observer.ts";
import { LeaseClient, microTime, type Lease, type LeaseChange } from "./lease.ts";
import { Pause } from "./pause.ts";
import { markNow, RunningTerm, type Mark, type Term } from "./term.ts";
import { Trouble } from "./trouble.ts";

export type { Term };

export interface LeaderElectorOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name?: string;
  /** The pod's name; something of this process' own is added, so that no two can be taken for one. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds; 15 s, 10 s and 2 s unless given. */
  readonly leaseDuration?: number;
  readonly renewDeadline?: number;
  readonly retryPeriod?: number;
}

export interface Campaign {
  /** Where this process can be asked by the others while it leads; they are not told when it is undefined. */
  readonly api?: string | undefined;
  /** Ends the campaign; a leader is told by its caller, drains, and only then gives up the Lease. */
  readonly signal: AbortSignal;
  /** Does the work of a leader, until the term is lost or `signal` aborts; renewing goes on until it settles. */
  readonly lead: (term: Term) => Promise<void>;
}

/**
 * client-go's leader election on a Lease. At most one process has a valid term: the holder's ends
 * `renewDeadline` after the start of its last renewal; the others wait `leaseDuration` after they last
 * saw the Lease change, by their own clocks, which is later.
 */
export class LeaderElector {
  /** As the Lease names this process. */
  readonly identity: string;
  readonly #options: Required<LeaderElectorOptions>;
  readonly #leases: LeaseClient;
  readonly #trouble: Trouble;
  readonly #pause: Pause;
  /** Our Lease as we last wrote it; undefined when we must read it first. */
  #own: Lease | undefined;
  readonly #observer: LeaseObserver;
  #leading = false;
  #api: string | undefined;

  constructor(options: LeaderElectorOptions) {
    const times = { leaseDuration: 15_000, renewDeadline: 10_000, retryPeriod: 2_000 };
    this.#options = { name: "fssync-controller", ...times, ...options };
    const { clock, log, retryPeriod, renewDeadline, leaseDuration } = this.#options;
    if (leaseDuration <= renewDeadline || renewDeadline <= 2 * retryPeriod) {
      throw new RangeError("leaseDuration must exceed renewDeadline, which must exceed twice retryPeriod");
    }
    this.identity = `${options.identity}_${randomBytes(4).toString("hex")}`;
    this.#leases = new LeaseClient(this.#options);
    this.#observer = new LeaseObserver({ clock, leaseDuration, led: (leader) => this.#announce(leader) });
    this.#trouble = new Trouble({ clock, log, base: retryPeriod, max: retryPeriod });
    this.#pause = new Pause(clock);
  }

  /** Who leads, as far as this process has seen. */
  get leader(): string | undefined {
    return this.#observer.leader;
  }

  /** Where the API of another process is that leads; undefined when it is not known, or this one leads. */
  get leaderApi(): string | undefined {
    return this.#leading || this.leader === this.identity ? undefined : this.#observer.api;
  }

  /** Campaigns, leads, and campaigns again, until the signal aborts. Rejects with what a `lead` that was not lost threw. */
  async run({ signal, lead, api }: Campaign): Promise<void> {
    this.#api = api;
    const end = new AbortController();
    const watching = this.#watch(end.signal);
    try {
      while (!signal.aborted) {
        const term = await this.#campaign(signal);
        if (!term) continue;
        await this.#serve(term, lead, signal);
        // Not to be a busy loop when the work ends by itself.
        if (!term.signal.aborted) await this.#pause.until(this.#options.retryPeriod, signal);
      }
    } finally {
      end.abort();
      await watching;
    }
  }

  /** A release, a theft or a deletion of the Lease is acted on at once, not at the next look. */
  #watch(signal: AbortSignal): Promise<void> {
    const { client, clock, log, name } = this.#options;
    const informer = new Informer<Lease>({
      client,
      clock,
      log,
      name: `lease ${name}`,
      path: this.#leases.path,
      query: { fieldSelector: `metadata.name=${name}` },
      keep: (object) => seenOf(object as Lease),
      changed: (_, lease) => {
        const holder = lease?.spec?.holderIdentity || undefined;
        // It may be told late, of the time before ours: a renewal tells whether we still hold it.
        if (this.#leading && holder !== this.identity) return this.#pause.wake();
        if (lease) this.#observer.observe(lease);
        if (holder === undefined) this.#pause.wake();
      },
    });
    return informer.run(signal);
  }

  /** Until we lead, or are told to stop. */
  async #campaign(signal: AbortSignal): Promise<RunningTerm | undefined> {
    const { clock, retryPeriod, renewDeadline } = this.#options;
    for (;;) {
      if (signal.aborted) return undefined;
      try {
        // Not aborted by `signal`: a write that nobody waits for would leave the Lease to nobody.
        const acquired = await this.#acquire();
        this.#trouble.over();
        if (acquired) return new RunningTerm({ clock, deadline: renewDeadline, acquired });
      } catch (error) {
        this.#trouble.failed(error);
      }
      const expiry = this.#observer.untilExpiry();
      const pause = jittered(clock, retryPeriod, 0.2);
      // Just after the expiry, each follower at another moment.
      await this.#pause.until(expiry > 0 ? Math.min(pause, expiry + clock.random() * 100) : pause, signal);
    }
  }

  async #serve(term: RunningTerm, lead: Campaign["lead"], signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const done = new AbortController();
    this.#leading = true;
    const renewing = this.#renewing(term, done.signal);
    try {
      // Told to stop while the acquisition was under way: there is nothing to drain.
      if (!signal.aborted && term.valid()) await lead(term);
    } catch (error) {
      if (!term.signal.aborted) throw error;
      log.error({ err: error }, "the leader's work failed after the Lease was lost");
    } finally {
      done.abort();
      await renewing;
      this.#leading = false;
      if (term.valid()) await this.#release();
      term[Symbol.dispose]();
      this.#own = undefined;
    }
  }

  async #renewing(term: RunningTerm, signal: AbortSignal): Promise<void> {
    const { log, retryPeriod, renewDeadline } = this.#options;
    while (!signal.aborted && term.valid()) {
      await this.#pause.until(retryPeriod, signal);
      if (signal.aborted || !term.valid()) break;
      try {
        // Time for a second try, on another connection, when the first one hangs.
        const renewed = await this.#renew(Math.min(term.remaining(), renewDeadline / 2), signal);
        if (renewed) term.renewed(renewed);
        else term.lose();
        this.#trouble.over();
      } catch (error) {
        if (!signal.aborted) this.#trouble.failed(error);
      }
    }
    if (term.signal.aborted) log.warn({ instance: this.identity }, "this instance does not lead any more");
  }

  /** One try; returns when it began if the Lease is ours now. */
  async #acquire(): Promise<Mark | undefined> {
    const { clock, renewDeadline } = this.#options;
    const limits = { timeout: renewDeadline / 2 };
    const lease = await this.#leases.read(limits);
    if (lease) this.#observer.observe(lease);
    // A Lease that somebody deleted may still be believed in by its holder.
    const holder = this.leader;
    if (holder !== undefined && holder !== this.identity && this.#observer.untilExpiry() > 0) return undefined;
    const start = markNow(clock);
    const now = microTime(clock.now());
    const mine = lease?.spec?.holderIdentity === this.identity;
    const { api, spec: holding } = this.#holding(now);
    const spec = {
      ...holding,
      acquireTime: mine ? (lease.spec.acquireTime ?? now) : now,
      leaseTransitions: lease ? (lease.spec?.leaseTransitions ?? 0) + (mine ? 0 : 1) : 0,
    };
    try {
      const change = { spec, api };
      this.#own = await (lease ? this.#leases.update(lease, change, limits) : this.#leases.create(change, limits));
    } catch (error) {
      const failed = apiError(error);
      // Somebody was faster.
      if (isConflict(failed) || (lease && isNotFound(failed))) return undefined;
      throw error;
    }
    this.#observer.observe(this.#own);
    return start;
  }

  /** Returns when the request that renewed began; undefined when the Lease is not ours any more. */
  async #renew(timeout: number, signal: AbortSignal): Promise<Mark | undefined> {
    const { clock } = this.#options;
    for (;;) {
      const lease: Lease | undefined = this.#own ?? (await this.#leases.read({ timeout, signal }));
      if (lease?.spec) this.#observer.observe(lease);
      if (lease?.spec?.holderIdentity !== this.identity) return undefined;
      const start = markNow(clock);
      this.#own = undefined;
      try {
        this.#own = await this.#leases.update(lease, this.#holding(microTime(clock.now())), { timeout, signal });
        return start;
      } catch (error) {
        const failed = apiError(error);
        // Stolen, deleted, or our own write that seemed to have failed: reading tells.
        if (!isConflict(failed) && !isNotFound(failed)) throw error;
      }
    }
  }

  /** So that a successor need not wait; if it fails, it waits until the Lease expires. */
  async #release(): Promise<void> {
    const { clock, log, retryPeriod } = this.#options;
    const limits = { timeout: retryPeriod };
    try {
      for (let tries = 0; tries < 3; tries++) {
        const lease: Lease | undefined = this.#own ?? (await this.#leases.read(limits));
        if (lease?.spec?.holderIdentity !== this.identity) return;
        this.#own = undefined;
        const now = microTime(clock.now());
        const spec = { holderIdentity: "", leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
        const released = await this.#leases.update(lease, { spec, api: undefined }, limits).catch((error: unknown) => {
          if (!isConflict(apiError(error))) throw error;
        });
        if (!released) continue;
        log.info({ instance: this.identity }, "the Lease was released");
        return;
      }
    } catch (error) {
      log.warn({ error: apiError(error).message }, "the Lease could not be released; it will expire");
    }
  }

  #announce(leader: string): void {
    const mine = leader === this.identity;
    // Not `identity`: the log hides what is called like an ssh key.
    const facts = { leader, instance: this.identity };
    this.#options.log.info(facts, mine ? "this instance leads" : "another instance leads");
  }

  #holding(now: string): LeaseChange {
    const leaseDurationSeconds = Math.ceil(this.#options.leaseDuration / 1000);
    return { spec: { holderIdentity: this.identity, leaseDurationSeconds, renewTime: now }, api: this.#api };
  }
}

/** What is kept in memory of a Lease that is watched. */
function seenOf({ metadata: { annotations }, spec }: Lease): Lease {
  return { metadata: annotations ? { annotations } : {}, ...(spec && { spec }) };
}
