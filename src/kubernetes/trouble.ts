import type { Logger } from "pino";
import { Backoff } from "../queue/rate-limiter.ts";
import type { Clock } from "../ports/clock.ts";
import { apiError, type ApiError } from "./api-error.ts";

export interface TroubleOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds before the first retry. */
  readonly base: number;
  /** Milliseconds that a pause never exceeds. */
  readonly max: number;
}

/** Failures of one thing in a row: said once for each reason, then at debug, and once when it is over. */
export class Trouble {
  readonly #options: TroubleOptions;
  readonly #backoff: Backoff<"">;
  #said: string | undefined;
  #last: ApiError | undefined;

  constructor(options: TroubleOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options);
  }

  /** The last failure; undefined when it is over. */
  get last(): ApiError | undefined {
    return this.#last;
  }

  /** Notes a failure; returns the milliseconds to wait before the next try. */
  failed(thrown: unknown): number {
    const { log, max } = this.#options;
    const error = (this.#last = apiError(thrown));
    const facts = { reason: error.reason, error: error.message, failures: this.#backoff.failures("") + 1 };
    if (this.#said === error.reason) log.debug(facts, "the API server cannot be asked, still");
    else log.warn({ ...facts, next: error.info.next }, "the API server cannot be asked; trying on");
    this.#said = error.reason;
    return Math.min(Math.max(this.#backoff.when(""), error.retryAfter ?? 0), Math.max(max, error.retryAfter ?? 0));
  }

  over(): void {
    if (this.#said !== undefined) this.#options.log.info("the API server answers again");
    this.#said = undefined;
    this.#last = undefined;
    this.calm();
  }

  /** The next pause is the shortest again, but nothing is said. */
  calm(): void {
    this.#backoff.forget("");
  }
}
