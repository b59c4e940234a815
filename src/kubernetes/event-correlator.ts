import { Lru } from "../model/lru.ts";
import type { Clock } from "../ports/clock.ts";
import { eventMessage, eventName } from "./event-text.ts";
import { GROUP, VERSION } from "./objects.ts";

/** What an event is about. */
export interface EventObject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** `kubectl describe` shows an event without it too. */
  readonly uid?: string;
  /** fssync.dev/v1alpha1 unless given. */
  readonly apiVersion?: string;
}

export interface Occurrence {
  readonly object: EventObject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** One Event of the API server: what it says now. Times are milliseconds since the epoch. */
export interface EventEntry extends Occurrence {
  readonly name: string;
  readonly object: Required<Pick<EventObject, "apiVersion">> & EventObject;
  message: string;
  count: number;
  readonly firstAt: number;
  lastAt: number;
  /** Whether the API server has it: then it is patched, not created. */
  stored: boolean;
}

/** Different messages of one reason on one object that are told one by one within WINDOW. */
const SIMILAR = 10;
const WINDOW = 10 * 60_000;
/** Events of one object at once, and milliseconds until it may have one more. */
const BURST = 25;
const REFILL = 5 * 60_000;
/** Objects, and events, that are remembered: those not heard of for the longest time are forgotten first. */
const REMEMBERED = 16_384;
const COMBINED = "(combined from similar events): ";

interface Budget {
  tokens: number;
  filledAt: number;
}

/**
 * Makes few Events of many occurrences, as client-go's EventCorrelator does:
 * - the same occurrence again counts up the Event that there is
 * - of the messages of one reason on one object within 10 minutes, those after the tenth share one Event
 * - an object that exceeds its budget is not written for a while; its counts go on
 */
export class EventCorrelator {
  readonly #clock: Clock;
  readonly #entries: Lru<string, EventEntry>;
  /** Of one reason on one object: the messages told one by one and when they last came, the oldest first. */
  readonly #told: Lru<string, Map<string, number>>;
  readonly #budgets: Lru<string, Budget>;

  constructor({ clock, remembered = REMEMBERED }: { clock: Clock; remembered?: number }) {
    this.#clock = clock;
    this.#entries = new Lru(remembered);
    this.#told = new Lru(remembered);
    this.#budgets = new Lru(remembered);
  }

  /** The Event to write now; null when the object is over its budget. */
  correlate(occurrence: Occurrence): EventEntry | null {
    const { apiVersion = `${GROUP}/${VERSION}`, ...rest } = occurrence.object;
    const object = { ...rest, apiVersion };
    const subject = JSON.stringify([apiVersion, object.kind, object.namespace, object.name, object.uid ?? ""]);
    const kind = JSON.stringify([subject, occurrence.type, occurrence.reason]);
    const message = eventMessage(occurrence.message);
    const combined = this.#isOneOfMany(kind, message);
    const key = combined ? kind : JSON.stringify([kind, message]);
    const said = combined ? eventMessage(`${COMBINED}${message}`) : message;
    const entry = this.#counted(key, { ...occurrence, object, message: said });
    return this.#spend(subject) ? entry : null;
  }

  #counted(key: string, said: Occurrence & Pick<EventEntry, "object">): EventEntry {
    const now = this.#clock.now();
    const entry = this.#entries.get(key);
    if (!entry) {
      const made = { ...said, name: eventName(said.object.name), count: 1, firstAt: now, lastAt: now, stored: false };
      this.#entries.set(key, made);
      return made;
    }
    entry.count += 1;
    entry.lastAt = now;
    entry.message = said.message;
    return entry;
  }

  /** Whether ten others are being told one by one; a message that is told so goes on to be. */
  #isOneOfMany(kind: string, message: string): boolean {
    const now = this.#clock.monotonic();
    const told = this.#told.get(kind) ?? new Map<string, number>();
    this.#told.set(kind, told);
    for (const [each, lastAt] of told) {
      if (now - lastAt <= WINDOW) break;
      told.delete(each);
    }
    if (!told.has(message) && told.size >= SIMILAR) return true;
    told.delete(message);
    told.set(message, now);
    return false;
  }

  #spend(subject: string): boolean {
    const now = this.#clock.monotonic();
    const budget = this.#budgets.get(subject) ?? { tokens: BURST, filledAt: now };
    const refilled = budget.tokens + (now - budget.filledAt) / REFILL;
    budget.tokens = Math.min(BURST, refilled);
    budget.filledAt = now;
    this.#budgets.set(subject, budget);
    if (budget.tokens < 1) return false;
    budget.tokens -= 1;
    return true;
  }
}
