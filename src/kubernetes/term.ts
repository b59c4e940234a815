import type { Clock } from "../ports/clock.ts";

/** One time of leading, from the acquisition of the Lease to its loss or release. */
export interface Term {
  /** Aborts at once when leadership is lost; not when this process is to stop. */
  readonly signal: AbortSignal;
  /** Whether we may write and sync now. */
  valid(): boolean;
  /** Milliseconds until the term ends unless it is renewed; 0 when it is over. */
  remaining(): number;
  /** Called after each renewal. */
  onRenewed(listener: () => void): void;
}

/** A moment on both clocks. */
export interface Mark {
  readonly monotonic: number;
  readonly wall: number;
}

export function markNow(clock: Clock): Mark {
  return { monotonic: clock.monotonic(), wall: clock.now() };
}

/** How often we look whether time has jumped: the timer itself stands still while the machine sleeps. */
const LOOK = 500;

export interface RunningTermOptions {
  readonly clock: Clock;
  /** Milliseconds that a term lasts after a renewal. */
  readonly deadline: number;
  /** Before the request that acquired the Lease was sent. */
  readonly acquired: Mark;
}

/**
 * Time counts from the START of the last request that renewed, so that it is over here before anybody
 * else can think so; and by the clock that went further, so that a machine that slept knows.
 */
export class RunningTerm implements Term, Disposable {
  readonly #options: RunningTermOptions;
  readonly #lost = new AbortController();
  readonly #listeners: (() => void)[] = [];
  #renewed: Mark;
  #timer: Disposable;

  constructor(options: RunningTermOptions) {
    this.#options = options;
    this.#renewed = options.acquired;
    this.#timer = this.#look();
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  valid(): boolean {
    if (this.signal.aborted) return false;
    if (this.#left() > 0) return true;
    this.lose();
    return false;
  }

  remaining(): number {
    return this.valid() ? this.#left() : 0;
  }

  onRenewed(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** A renewal that took so long that the term was over before stays without effect. */
  renewed(mark: Mark): void {
    if (!this.valid()) return;
    this.#renewed = mark;
    if (!this.valid()) return;
    for (const listener of this.#listeners) listener();
  }

  lose(): void {
    this.#timer[Symbol.dispose]();
    this.#lost.abort();
  }

  /** Over without a loss: `valid` is not asked any more. */
  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #left(): number {
    const { clock, deadline } = this.#options;
    const { monotonic, wall } = this.#renewed;
    return deadline - Math.max(clock.monotonic() - monotonic, clock.now() - wall);
  }

  #look(): Disposable {
    return this.#options.clock.after(Math.max(0, Math.min(this.#left(), LOOK)), () => {
      if (this.valid()) this.#timer = this.#look();
    });
  }
}
