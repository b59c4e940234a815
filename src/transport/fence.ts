import type { Clock } from "../ports/clock.ts";

/** A point in time that every process of this machine understands, in milliseconds. */
export interface Instant {
  /** Of the clock that the whole machine shares and nobody sets; it may stand still while the machine sleeps. */
  readonly monotonic: number;
  /** Since the epoch: goes on while the machine sleeps. */
  readonly wall: number;
}

/** How often the time is looked at: a timer does not count the time that the machine slept. */
const LOOK_EVERY = 250;

export interface FenceOptions {
  readonly clock: Clock;
  /** Ends what the signal alone does not reach, once the time is over. */
  readonly over: () => Promise<void>;
  /** The machine's own unless given. */
  readonly time?: () => Instant;
}

/**
 * Work is allowed up to an instant, which can be moved. When it has come, the signal aborts for good:
 * what comes after a new `allow` has another signal. Without any `allow` there is no end. Timers of a
 * process that was stopped run late, perhaps after its messages: `check` before each step that must
 * not be done too late.
 */
export class Fence implements Disposable {
  readonly #clock: Clock;
  readonly #over: () => Promise<void>;
  readonly #time: () => Instant;
  #until: Instant | undefined;
  #allowed = new AbortController();
  #cleared: Promise<unknown> = Promise.resolve();
  #timer: Disposable | undefined;

  constructor({ clock, over, time = machineTime }: FenceOptions) {
    this.#clock = clock;
    this.#over = over;
    this.#time = time;
  }

  /** Up to `until` from now on, whatever was allowed before. */
  allow(until: Instant): void {
    // What was running when the time before was over does not go on in the new one.
    this.check();
    this.#until = until;
    if (this.#allowed.signal.aborted && !this.#isOver()) this.#allowed = new AbortController();
    this.#look();
  }

  /** The signal of the time allowed now: aborted once it is over. */
  check(): AbortSignal {
    if (this.#isOver() && !this.#allowed.signal.aborted) {
      this.#allowed.abort();
      this.#cleared = Promise.all([this.#cleared, this.#over().catch(() => undefined)]);
    }
    return this.#allowed.signal;
  }

  /** Resolves when nothing is left of a time that is over; nothing may begin before. */
  async cleared(): Promise<void> {
    await this.#cleared;
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #look(): void {
    this[Symbol.dispose]();
    if (this.check().aborted) return;
    const left = Math.max(1, Math.min(this.#left(), LOOK_EVERY));
    this.#timer = this.#clock.after(left, () => this.#look());
  }

  #isOver(): boolean {
    return this.#left() <= 0;
  }

  #left(): number {
    if (!this.#until) return Infinity;
    const { monotonic, wall } = this.#time();
    return Math.min(this.#until.monotonic - monotonic, this.#until.wall - wall);
  }
}

/** The instant so many milliseconds from now. */
export function instantIn(milliseconds: number): Instant {
  const { monotonic, wall } = machineTime();
  return { monotonic: monotonic + milliseconds, wall: wall + milliseconds };
}

/** `performance.now()` begins with each process; `hrtime` is the machine's. */
function machineTime(): Instant {
  return { monotonic: Number(process.hrtime.bigint()) / 1e6, wall: Date.now() };
}
