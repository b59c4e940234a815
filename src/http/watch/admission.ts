import type { Clock } from "../../ports/clock.ts";

/** Milliseconds after which it is asked again, at most; half of it at least. */
const AGAIN = 30_000;

export interface AdmissionOptions {
  /** Whether the client may still be told. Rejects when that cannot be found out now. */
  readonly admits: () => Promise<boolean>;
  readonly clock: Clock;
}

/** Whether a client may go on watching: its token may be taken back, or what it may do. Not all are asked about at once. */
export class Admission {
  readonly #options: AdmissionOptions;
  #askAt: number;
  #asking = false;
  #refused = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#askAt = this.#next();
  }

  /** As far as it is known now; asks anew when it is time to. */
  check(): "refused" | null {
    if (this.#refused) return "refused";
    if (!this.#asking && this.#options.clock.monotonic() >= this.#askAt) void this.#ask();
    return null;
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    try {
      this.#refused = !(await this.#options.admits());
    } catch {
      // That nobody can say it is no refusal.
    } finally {
      this.#asking = false;
      this.#askAt = this.#next();
    }
  }

  #next(): number {
    const { clock } = this.#options;
    return clock.monotonic() + (AGAIN * (1 + clock.random())) / 2;
  }
}
