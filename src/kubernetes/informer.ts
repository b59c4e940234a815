import type { KubernetesObject } from "@kubernetes/client-node";
import type { Logger } from "pino";
import { jittered, sleep, type Clock } from "../ports/clock.ts";
import { apiError, isGone, type ApiError } from "./api-error.ts";
import type { KubeClient, Query } from "./client.ts";
import { keyOf, ObjectCache } from "./object-cache.ts";
import { Trouble } from "./trouble.ts";
import { eventsOf } from "./watch-events.ts";

export interface InformerOptions<Kept> {
  readonly client: KubeClient;
  /** Of the collection: `/apis/fssync.dev/v1alpha1/configrepos`, `/api/v1/namespaces/x/secrets`. */
  readonly path: string;
  /** labelSelector, fieldSelector. */
  readonly query?: Query;
  /** What stays in memory of an object; it is plain JSON, so dates are strings. */
  keep(object: KubernetesObject): Kept;
  /**
   * Told after the cache holds it. `key` is `namespace/name`. An object that was deleted and made again
   * while nobody watched is one change. `now` is undefined for a deletion.
   */
  changed(key: string, now: Kept | undefined, before: Kept | undefined): void;
  readonly clock: Clock;
  readonly log: Logger;
  /** For the log. */
  readonly name: string;
  readonly limits?: Partial<InformerLimits>;
}

/** Times are milliseconds. */
export interface InformerLimits {
  /** Objects a page. */
  readonly page: number;
  /** For a page, and for the beginning of a watch. */
  readonly request: number;
  /** A watch that says nothing for longer is opened anew; bookmarks come every minute. */
  readonly silence: number;
  /** The API server ends a watch after this, ±1/3: so that connections spread over its replicas. */
  readonly watch: number;
  /** Everything is listed anew after this, should an event ever be lost. */
  readonly resync: number;
  readonly firstRetry: number;
  readonly lastRetry: number;
}

const LIMITS: InformerLimits = {
  page: 500,
  request: 30_000,
  silence: 90_000,
  watch: 360_000,
  resync: 1_800_000,
  firstRetry: 200,
  lastRetry: 30_000,
};

/** A watch that ends sooner is a failure: opened anew at once it would be a busy loop. */
const SHORTEST_WATCH = 1_000;
/** A watch that lived so long had nothing to do with failures before it. */
const HEALTHY_WATCH = 5_000;

interface List {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly KubernetesObject[];
}

/**
 * client-go's reflector: lists, then watches from there, for ever. It survives whatever the API server
 * and the network do; a deletion that nobody told is found by the next list.
 */
export class Informer<Kept> {
  /** Resolves when the first full list was told. */
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<Kept>;
  readonly #limits: InformerLimits;
  readonly #cache: ObjectCache<Kept>;
  readonly #trouble: Trouble;
  readonly #log: Logger;
  readonly #isSynced: () => void;
  /** Where to go on; undefined: list first. */
  #version: string | undefined;
  #resyncAt = 0;
  #heard: number;

  constructor(options: InformerOptions<Kept>) {
    const { clock } = options;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#log = options.log.child({ informer: options.name });
    this.#cache = new ObjectCache({
      keep: (object) => options.keep(object),
      changed: (key, now, before) => options.changed(key, now, before),
      log: this.#log,
    });
    this.#trouble = new Trouble({ clock, log: this.#log, base: this.#limits.firstRetry, max: this.#limits.lastRetry });
    this.#heard = clock.monotonic();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#isSynced = resolve;
  }

  get cache(): ReadonlyMap<string, Kept> {
    return this.#cache.kept;
  }

  /** Milliseconds since anything was heard; bookmarks come every minute. */
  get stale(): number {
    return this.#options.clock.monotonic() - this.#heard;
  }

  /** Why the API server could not be asked the last time; undefined while it can. */
  get trouble(): ApiError | undefined {
    return this.#trouble.last;
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined || clock.monotonic() >= this.#resyncAt) await this.#list(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) return;
        await this.#recover(error, signal);
      }
    }
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const gone = isGone(apiError(error));
    // An event that cannot be read would be sent again.
    if (gone || error instanceof SyntaxError) this.#version = undefined;
    if (gone) this.#log.info("the API server has forgotten our version; listing anew");
    const pause = gone ? jittered(this.#options.clock, this.#limits.firstRetry, 0.5) : this.#trouble.failed(error);
    await sleep(this.#options.clock, pause, signal);
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, path, query, clock } = this.#options;
    const { page, request, resync } = this.#limits;
    const listed = new Set<string>();
    let next: string | undefined;
    do {
      const asked = { ...query, limit: page, continue: next };
      const list = (await client.json(path, { query: asked, timeout: request, signal })) as List;
      this.#hear();
      for (const object of list.items) listed.add(this.#cache.set(object));
      next = list.metadata.continue || undefined;
      if (next === undefined) this.#version = list.metadata.resourceVersion;
    } while (next !== undefined);
    this.#cache.retain(listed);
    this.#resyncAt = clock.monotonic() + jittered(clock, resync);
    this.#trouble.over();
    this.#isSynced();
  }

  /** Until the API server ends it in order, or it falls silent. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { client, path, query, clock } = this.#options;
    const { request, watch } = this.#limits;
    const ended = new AbortController();
    const end = () => ended.abort();
    signal.addEventListener("abort", end, { once: true });
    // The abort may have come before there was a listener.
    if (signal.aborted) end();
    const opened = clock.monotonic();
    using silence = this.#watchdog(end);
    try {
      const answer = await client.open(path, {
        query: {
          ...query,
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: this.#version,
          timeoutSeconds: Math.max(1, Math.round(jittered(clock, watch, 1 / 3) / 1000)),
        },
        signal: ended.signal,
        timeout: request,
      });
      for await (const { type, object } of eventsOf(answer)) {
        if (signal.aborted) return;
        this.#hear();
        this.#trouble.over();
        if (type === "ADDED" || type === "MODIFIED") this.#cache.set(object);
        if (type === "DELETED") this.#cache.delete(keyOf(object));
        this.#version = object.metadata?.resourceVersion ?? this.#version;
      }
    } catch (error) {
      if (clock.monotonic() - opened >= HEALTHY_WATCH) this.#trouble.calm();
      if (!silence.barked || signal.aborted) throw error;
      this.#log.debug("the watch was silent for too long; opening it anew");
      return;
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
    if (signal.aborted) return;
    if (clock.monotonic() - opened < SHORTEST_WATCH) throw new Error("the API server ended the watch at once");
    this.#trouble.over();
  }

  /** Calls `bark` once when nothing was heard for `silence` from now on. */
  #watchdog(bark: () => void): Disposable & { readonly barked: boolean } {
    const { clock } = this.#options;
    const { silence } = this.#limits;
    const start = clock.monotonic();
    let barked = false;
    const look = () => {
      const left = Math.max(this.#heard, start) + silence - clock.monotonic();
      if (left > 0) {
        timer = clock.after(left, look);
        return;
      }
      barked = true;
      bark();
    };
    let timer = clock.after(silence, look);
    return {
      get barked() {
        return barked;
      },
      [Symbol.dispose]: () => timer[Symbol.dispose](),
    };
  }

  #hear(): void {
    this.#heard = this.#options.clock.monotonic();
  }
}
