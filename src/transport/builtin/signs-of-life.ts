import type { Clock } from "../../ports/clock.ts";

/** Milliseconds of silence after which a host is asked, and how often it may be asked in vain. */
const SILENCE = 15_000;
const IN_VAIN = 3;

interface SignsOfLifeOptions {
  /** Grows with all that the host says. */
  readonly heard: () => number;
  readonly ask: () => void;
  readonly lost: () => void;
  readonly clock: Clock;
}

/**
 * Finds a host that has vanished while something is expected of it. Of an idle one nothing is: its kernel is asked by ours, which
 * costs this process nothing.
 */
export class SignsOfLife implements Disposable {
  readonly #options: SignsOfLifeOptions;
  #expecting = 0;
  #heard = 0;
  #asked = 0;
  #timer: Disposable | undefined;

  constructor(options: SignsOfLifeOptions) {
    this.#options = options;
  }

  get areExpected(): boolean {
    return this.#expecting > 0;
  }

  /** From now on until what it returns is disposed of. */
  expected(): Disposable {
    if (this.#expecting++ === 0) this.#begin();
    let done = false;
    return {
      [Symbol.dispose]: () => {
        if (!done && --this.#expecting === 0) this[Symbol.dispose]();
        done = true;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #begin(): void {
    this.#heard = this.#options.heard();
    this.#asked = 0;
    this.#wait();
  }

  #wait(): void {
    this.#timer = this.#options.clock.after(SILENCE, () => this.#look());
  }

  #look(): void {
    const { heard, ask, lost } = this.#options;
    const now = heard();
    const isSilent = now === this.#heard;
    this.#heard = now;
    if (!isSilent) this.#asked = 0;
    else if (this.#asked++ === IN_VAIN) return lost();
    else ask();
    this.#wait();
  }
}
