import type { EventReason, Events, EventSubject } from "../ports/events.ts";
import type { Clock } from "../ports/clock.ts";

/** The same thing that happened several times is one, counted. */
export interface RecentEvent {
  /** Grows with every change. */
  readonly id: number;
  readonly repo: string;
  readonly about: EventSubject;
  readonly type: "Normal" | "Warning";
  readonly reason: EventReason;
  readonly message: string;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstAt: number;
  readonly lastAt: number;
}

/** How many are kept in all. */
const KEPT = 2000;

/** What happened lately, for whoever asks over HTTP; forgotten with the process. */
export class RecentEvents {
  readonly #clock: Clock;
  readonly #events = new Map<string, RecentEvent>();
  readonly #listeners = new Set<(event: RecentEvent) => void>();
  #id = 0;

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock;
  }

  forRepo(repo: string): Events {
    return { record: (...event) => this.#record(repo, ...event) };
  }

  /** Newest first. */
  list(): readonly RecentEvent[] {
    return [...this.#events.values()].toReversed();
  }

  /** Calls with every event from now on, also one that is counted on. */
  watch(listener: (event: RecentEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #record(repo: string, about: EventSubject, type: "Normal" | "Warning", reason: EventReason, message: string): void {
    const key = JSON.stringify([repo, about.app, about.host, reason, message]);
    const before = this.#events.get(key);
    const now = this.#clock.now();
    const [count, firstAt] = [(before?.count ?? 0) + 1, before?.firstAt ?? now];
    const event = { id: ++this.#id, repo, about, type, reason, message, count, firstAt, lastAt: now };
    // In the order of their last occurrence.
    this.#events.delete(key);
    this.#events.set(key, event);
    if (this.#events.size > KEPT) this.#events.delete(this.#events.keys().next().value!);
    for (const listener of this.#listeners) listener(event);
  }
}

/** Tells several. */
export function alsoTo(...events: readonly (Events | undefined)[]): Events {
  return { record: (...event) => events.forEach((one) => one?.record(...event)) };
}
