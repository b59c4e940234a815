import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";

export interface PatienceOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds. */
  readonly patience: number;
}

/** Waits for writes, but not for ever: a fleet is not kept waiting for the API server. */
export class Patience {
  readonly #options: PatienceOptions;
  /** Whether somebody went on without; said once until a write arrives. */
  #lost = false;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Resolves when all is written or the time is over; rejects when one will never be. */
  async wait(writes: readonly Promise<void>[]): Promise<void> {
    const { clock, log, patience } = this.#options;
    const late = Promise.withResolvers<boolean>();
    const written = Promise.all(writes).then(() => true);
    using _ = clock.after(patience, () => late.resolve(false));
    if (await Promise.race([written, late.promise])) return;
    if (!this.#lost) log.warn("syncs go on without their note: should this process die now, a sync may be cut unseen");
    this.#lost = true;
    void this.#until(written);
  }

  async #until(written: Promise<unknown>): Promise<void> {
    try {
      await written;
      if (this.#lost) this.#options.log.info("syncs are noted again");
      this.#lost = false;
    } catch {
      // This process leads no more; whoever waited longer was told.
    }
  }
}
