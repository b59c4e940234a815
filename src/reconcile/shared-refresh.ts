import { orAborted } from "../ports/abort.ts";

interface Run {
  waiters: number;
  readonly abandoned: AbortController;
  done: Promise<void>;
}

/**
 * One look at a time for all who ask: whoever comes while one runs waits for the next, together with all who come
 * until that begins. What they get was asked for after they had come.
 */
export class SharedRefresh {
  readonly #refresh: (signal: AbortSignal) => Promise<void>;
  #next: Run | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(refresh: (signal: AbortSignal) => Promise<void>) {
    this.#refresh = refresh;
  }

  /** Resolves when it is done, or the signal aborts; the look ends early only when everybody has left. */
  async join(signal: AbortSignal): Promise<void> {
    const run = (this.#next ??= this.#begin());
    run.waiters += 1;
    try {
      await orAborted(run.done, signal);
    } finally {
      run.waiters -= 1;
      if (run.waiters === 0) this.#abandon(run);
    }
  }

  #begin(): Run {
    const abandoned = new AbortController();
    const run: Run = { waiters: 0, abandoned, done: Promise.resolve() };
    run.done = this.#after(this.#last, run);
    this.#last = run.done.catch(() => undefined);
    return run;
  }

  async #after(last: Promise<unknown>, run: Run): Promise<void> {
    await last;
    if (this.#next === run) this.#next = null;
    const { signal } = run.abandoned;
    if (!signal.aborted) await this.#refresh(signal);
  }

  #abandon(run: Run): void {
    if (this.#next === run) this.#next = null;
    run.abandoned.abort();
  }
}
