import { performance } from "node:perf_hooks";
import type { Clock } from "../../ports/clock.ts";

/** Reads may have so much of the time in which the event loop has work, and of the time in which it has none. */
const SHARE_OF_ACTIVE = 0.1;
const SHARE_OF_IDLE = 0.5;

/** As much as can be saved up, milliseconds: what syncs wait for at the most. */
const MOST_SAVED = 10;

/** Until it comes here a request costs as much as its answer does from here on. */
const COST = 2;

/** Milliseconds until it is looked at again whether there is time. */
const PAUSE = 10;

/** However busy we are, one is answered after so many milliseconds. */
const PATIENCE = 20;

/** Milliseconds since some start in which the event loop had work, and in which it had none. */
export interface LoopTime {
  readonly active: number;
  readonly idle: number;
}

interface Waiting {
  readonly answer: () => void;
  readonly failed: (reason: unknown) => void;
}

/**
 * What reads wait at before they are answered. Whoever reads does not hold up syncs: while the event loop has all
 * hands full, a small share of it is for reads; while it has not, they get what is left. One goes through after
 * the other, never all at once who waited for the same thing.
 */
export class Turnstile {
  readonly #clock: Clock;
  readonly #loopTime: () => LoopTime;
  readonly #waiting: Waiting[] = [];
  #before: LoopTime;
  #saved = MOST_SAVED;
  #lastAnswer = -Infinity;
  #armed = false;

  constructor(clock: Clock, loopTime: () => LoopTime = () => performance.eventLoopUtilization()) {
    this.#clock = clock;
    this.#loopTime = loopTime;
    this.#before = loopTime();
  }

  /** Answers when there is time, in the order in which they came. Returns what `answer` does. */
  pass<Answer>(answer: () => Answer): Promise<Answer> {
    return new Promise((resolve, failed) => {
      this.#waiting.push({ answer: () => resolve(answer()), failed });
      this.#letThrough();
    });
  }

  #letThrough(): void {
    this.#save();
    while (this.#waiting.length > 0 && this.#mayPass()) this.#answer(this.#waiting.shift()!);
    if (this.#waiting.length === 0 || this.#armed) return;
    this.#armed = true;
    this.#clock.after(PAUSE, () => {
      this.#armed = false;
      this.#letThrough();
    });
  }

  #save(): void {
    const { active, idle } = this.#loopTime();
    const earned = SHARE_OF_ACTIVE * (active - this.#before.active) + SHARE_OF_IDLE * (idle - this.#before.idle);
    this.#before = { active, idle };
    this.#saved = Math.min(MOST_SAVED, this.#saved + earned);
  }

  #mayPass(): boolean {
    return this.#saved > 0 || this.#clock.monotonic() - this.#lastAnswer >= PATIENCE;
  }

  #answer({ answer, failed }: Waiting): void {
    const start = this.#clock.monotonic();
    try {
      answer();
    } catch (error) {
      failed(error);
    }
    this.#lastAnswer = this.#clock.monotonic();
    this.#saved -= COST * (this.#lastAnswer - start);
  }
}
