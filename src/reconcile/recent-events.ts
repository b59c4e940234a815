import { excerpt } from "../model/excerpt.ts";
import type { EventReason, Events, EventSubject } from "../ports/events.ts";
import type { Clock } from "../ports/clock.ts";

/** The same thing that happened several times is one, counted. */
export interface RecentEvent {
  /** Its own as long as it is kept. */
  readonly id: number;
  /** Grows with every change, of whatever event. */
  readonly order: number;
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
/** Characters of a message, as the Events of Kubernetes have it. */
const MESSAGE = 1024;

/**
 * What happened lately, for whoever asks over HTTP; forgotten with the process. When there are too many, the
 * oldest of the repo that has most goes: a repo where much happens does not push out what little happened elsewhere.
 */
export class RecentEvents {
  readonly #clock: Clock;
  /** By repo, each in the order of their last occurrence. */
  readonly #repos = new Map<string, Map<string, RecentEvent>>();
  readonly #listeners = new Set<(event: RecentEvent) => void>();
  #size = 0;
  #id = 0;
  #order = 0;

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock;
  }

  forRepo(repo: string): Events {
    return { record: (...event) => this.#record(repo, ...event) };
  }

  /** Newest first. */
  list(): readonly RecentEvent[] {
    const all = [...this.#repos.values()].flatMap((events) => [...events.values()]);
    return all.sort((a, b) => b.order - a.order);
  }

  /** Calls with every event from now on, also one that is counted on. */
  watch(listener: (event: RecentEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #record(repo: string, about: EventSubject, type: "Normal" | "Warning", reason: EventReason, text: string): void {
    const message = excerpt(text, MESSAGE);
    const events = this.#repos.get(repo) ?? new Map<string, RecentEvent>();
    this.#repos.set(repo, events);
    const key = JSON.stringify([about.app, about.host, type, reason, message]);
    const before = events.get(key);
    const lastAt = this.#clock.now();
    const { id = ++this.#id, firstAt = lastAt, count = 0 } = before ?? {};
    const event = { id, order: ++this.#order, repo, about, type, reason, message, count: count + 1, firstAt, lastAt };
    events.delete(key);
    events.set(key, event);
    if (!before) this.#size += 1;
    if (this.#size > KEPT) this.#dropOne();
    for (const listener of this.#listeners) listener(event);
  }

  #dropOne(): void {
    let most: readonly [string, Map<string, RecentEvent>] | undefined;
    for (const entry of this.#repos) if (!most || entry[1].size > most[1].size) most = entry;
    const [repo, events] = most!;
    events.delete(events.keys().next().value!);
    if (events.size === 0) this.#repos.delete(repo);
    this.#size -= 1;
  }
}

/** Tells several. */
export function alsoTo(...events: readonly (Events | undefined)[]): Events {
  return { record: (...event) => events.forEach((one) => one?.record(...event)) };
}
