import type { Clock } from "../ports/clock.ts";

export interface CollapsedOptions {
  readonly clock: Clock;
  /** Milliseconds. */
  readonly window: number;
  readonly task: () => void;
}

/**
 * Runs a task for whoever asks, and seldom however many ask: at once, and once more at the end of the window when
 * somebody asked within it.
 *
 *     idle ──ask: run──► open ──ask──► asked
 *      ▲                  │ end          │ end: run
 *      └──────────────────┘      open ◄──┘
 */
export class Collapsed implements Disposable {
  readonly #options: CollapsedOptions;
  #window: Disposable | undefined;
  #asked = false;
  #disposed = false;

  constructor(options: CollapsedOptions) {
    this.#options = options;
  }

  ask(): void {
    if (this.#disposed) return;
    if (this.#window) this.#asked = true;
    else this.#run();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#window?.[Symbol.dispose]();
  }

  #run(): void {
    const { clock, window, task } = this.#options;
    this.#asked = false;
    this.#window = clock.after(window, () => {
      this.#window = undefined;
      if (this.#asked) this.#run();
    });
    task();
  }
}
