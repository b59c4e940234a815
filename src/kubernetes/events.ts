import { hostname } from "node:os";
import type { CoreV1Api, CoreV1Event } from "@kubernetes/client-node";
import type { Logger } from "pino";
import type { Clock } from "../ports/clock.ts";
import type { EventReason } from "../ports/events.ts";
import { Backoff } from "../queue/rate-limiter.ts";
import { apiError, isConflict, isNotFound, isTransient, type ApiError } from "./api-error.ts";
import { requestOptions } from "./client.ts";
import { EventCorrelator, type EventEntry, type EventObject } from "./event-correlator.ts";

export type EventsApi = Pick<CoreV1Api, "createNamespacedEvent" | "patchNamespacedEvent">;

export interface EventRecorderOptions {
  readonly client: { readonly core: EventsApi };
  readonly clock: Clock;
  readonly log: Logger;
  /** Which of several controllers it is: the name of the host, in a pod that is the pod's, unless given. */
  readonly instance?: string;
  /** Events that may wait in memory; 5,000 unless given. */
  readonly capacity?: number;
}

interface Waiting {
  tries: number;
  readonly since: number;
}

const COMPONENT = "fssync";
const CAPACITY = 5_000;
/** Requests at a time: status writes come first. */
const PARALLEL = 2;
const REQUEST_TIMEOUT = 5_000;
/** An event that could not be written so often, or for so long (ms), is dropped: it is news no more. */
const TRIES = 6;
const LONGEST_WAIT = 2 * 60_000;
/** Milliseconds that the last events have at the end. */
const LAST_WORDS = 2_000;

/**
 * Writes core/v1 Events, as far as it can: they are news, not records. `event` takes what happened and
 * returns; what is under way or waits is written once with its newest count. While the API server is
 * away one request at a time asks for it.
 */
export class EventRecorder implements AsyncDisposable {
  readonly #options: EventRecorderOptions;
  readonly #correlator: EventCorrelator;
  readonly #backoff: Backoff<"api">;
  readonly #end = new AbortController();
  /** An entry is in it once; one that is being written may wait again. The oldest first. */
  readonly #waiting = new Map<EventEntry, Waiting>();
  readonly #sending = new Set<EventEntry>();
  readonly #idle = new Set<() => void>();
  /** HTTP statuses of refusals that were told. */
  readonly #refusals = new Set<number>();
  #pause: Disposable | null = null;
  #closed = false;
  #dropped = 0;
  #suppressed = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#correlator = new EventCorrelator(options);
    this.#backoff = new Backoff({ clock: options.clock, base: 1_000, max: 30_000 });
  }

  /** Events that nobody will see: refused, too old, too many, or after the end. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Occurrences that were counted but not written, because their object had too many. */
  get suppressed(): number {
    return this.#suppressed;
  }

  /** Events that wait or are being written. */
  get pending(): number {
    return this.#waiting.size + this.#sending.size;
  }

  /** Never throws and never waits. */
  event(object: EventObject, type: "Normal" | "Warning", reason: EventReason, message: string): void {
    if (this.#closed) return void (this.#dropped += 1);
    const entry = this.#correlator.correlate({ object, type, reason, message });
    if (entry === null) return void (this.#suppressed += 1);
    if (this.#waiting.has(entry)) return;
    if (this.#waiting.size >= (this.#options.capacity ?? CAPACITY)) return void (this.#dropped += 1);
    this.#waiting.set(entry, { tries: 0, since: this.#options.clock.monotonic() });
    // Not at once: what happens many times in one go is one request.
    queueMicrotask(() => this.#sendMore());
  }

  /** Resolves when nothing waits any more, at the latest after so many milliseconds. */
  async flush(deadline: number): Promise<void> {
    if (this.pending === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(deadline, resolve);
    this.#idle.add(resolve);
    await promise;
    this.#idle.delete(resolve);
    timer[Symbol.dispose]();
  }

  /** Writes what it can within two seconds; what is left is dropped. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.flush(LAST_WORDS);
    this.#pause?.[Symbol.dispose]();
    this.#pause = null;
    this.#dropped += this.#waiting.size;
    this.#waiting.clear();
    this.#end.abort();
    if (this.#sending.size > 0) await new Promise<void>((resolve) => this.#idle.add(resolve));
  }

  #sendMore(): void {
    const parallel = this.#backoff.failures("api") > 0 ? 1 : PARALLEL;
    while (this.#pause === null && this.#sending.size < parallel) {
      const [entry, waiting] = this.#next() ?? [];
      if (!entry || !waiting) break;
      this.#waiting.delete(entry);
      this.#sending.add(entry);
      void this.#send(entry, waiting);
    }
    if (this.pending > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }

  /** The oldest that is not being written just now; those that are too old go. */
  #next(): [EventEntry, Waiting] | undefined {
    const now = this.#options.clock.monotonic();
    for (const [entry, waiting] of this.#waiting) {
      if (now - waiting.since > LONGEST_WAIT) {
        this.#waiting.delete(entry);
        this.#dropped += 1;
      } else if (!this.#sending.has(entry)) return [entry, waiting];
    }
    return undefined;
  }

  async #send(entry: EventEntry, waiting: Waiting): Promise<void> {
    try {
      await this.#write(entry);
      this.#succeeded();
    } catch (error) {
      this.#failed(entry, waiting, apiError(error));
    }
    this.#sending.delete(entry);
    this.#sendMore();
  }

  /** Counts are absolute, so that a request whose answer was lost may be sent again. */
  async #write(entry: EventEntry): Promise<void> {
    if (entry.stored) {
      try {
        return await this.#patch(entry);
      } catch (error) {
        // The API server forgets events after an hour; then it is a new one with the count so far.
        if (!isNotFound(apiError(error))) throw error;
        entry.stored = false;
      }
    }
    try {
      await this.#create(entry);
      entry.stored = true;
    } catch (error) {
      if (!isConflict(apiError(error))) throw error;
      entry.stored = true;
      await this.#patch(entry);
    }
  }

  async #patch({ name, object, count, message, lastAt }: EventEntry): Promise<void> {
    const body = { count, message, lastTimestamp: new Date(lastAt).toISOString() };
    const options = requestOptions({ mergePatch: true, signal: this.#end.signal, timeout: REQUEST_TIMEOUT });
    await this.#options.client.core.patchNamespacedEvent({ name, namespace: object.namespace, body }, options);
  }

  async #create(entry: EventEntry): Promise<void> {
    const { namespace } = entry.object;
    const body: CoreV1Event = {
      metadata: { name: entry.name, namespace },
      involvedObject: entry.object,
      type: entry.type,
      reason: entry.reason,
      message: entry.message,
      count: entry.count,
      firstTimestamp: new Date(entry.firstAt),
      lastTimestamp: new Date(entry.lastAt),
      source: { component: COMPONENT },
      reportingComponent: COMPONENT,
      reportingInstance: this.#options.instance ?? hostname(),
    };
    const options = requestOptions({ signal: this.#end.signal, timeout: REQUEST_TIMEOUT });
    await this.#options.client.core.createNamespacedEvent({ namespace, body }, options);
  }

  #succeeded(): void {
    if (this.#backoff.failures("api") === 0) return;
    this.#backoff.forget("api");
    this.#options.log.info({ dropped: this.#dropped }, "events are recorded again");
  }

  #failed(entry: EventEntry, { tries, since }: Waiting, error: ApiError): void {
    if (this.#end.signal.aborted || !isTransient(error)) {
      this.#dropped += 1;
      if (!this.#end.signal.aborted) this.#tellRefusal(error);
      return;
    }
    if (this.#backoff.failures("api") === 0)
      this.#options.log.warn({ reason: error.reason, message: error.message }, "events cannot be recorded now");
    const delay = Math.max(this.#backoff.when("api"), error.retryAfter ?? 0);
    this.#pause?.[Symbol.dispose]();
    this.#pause = this.#options.clock.after(delay, () => {
      this.#pause = null;
      this.#sendMore();
    });
    // It happened again meanwhile: then it waits as what it is now.
    if (this.#waiting.has(entry)) return;
    if (tries + 1 >= TRIES) this.#dropped += 1;
    else this.#waiting.set(entry, { tries: tries + 1, since });
  }

  /** Once for each kind of refusal: the next event will meet it too. */
  #tellRefusal(error: ApiError): void {
    if (this.#refusals.has(error.status)) return;
    this.#refusals.add(error.status);
    const { reason, message, info } = error;
    this.#options.log.error({ reason, message, next: info.next }, "an event was refused");
  }
}
