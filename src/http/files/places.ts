import { once } from "node:events";
import type { Readable } from "node:stream";
import type { Clock } from "../../ports/clock.ts";
import { HttpProblem } from "../problem.ts";

export interface PlacesOptions {
  /** How many may be at work at a time. */
  readonly limit: number;
  /** How many may wait for a place. */
  readonly waiting: number;
  /** Milliseconds that one waits for it. */
  readonly patience: number;
  /** Milliseconds after which a stream that is still not taken is ended. */
  readonly longest: number;
  /** What the places are for, `archives`. */
  readonly what: string;
  readonly clock: Clock;
}

interface Waiting {
  readonly take: () => void;
}

/** Keeps what costs memory and processes to a number at a time; others wait a little, in the order they came. */
export class Places {
  readonly #options: PlacesOptions;
  readonly #waiting = new Set<Waiting>();
  #taken = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** A place, which is free again when it is disposed of. Throws 503 when none gets free in time, 408 when the signal aborts before. */
  async take(signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) throw nobodyWaits();
    if (this.#taken >= this.#options.limit) await this.#wait(signal);
    else this.#taken += 1;
    let given = false;
    return {
      [Symbol.dispose]: () => {
        if (given) return;
        given = true;
        this.#give();
      },
    };
  }

  /**
   * The place is taken for as long as the stream is open. Resolves when there is something to be sent: trouble before
   * that is thrown, and can be told. Throws 408 when the signal aborts before.
   */
  async hold(place: Disposable, stream: Readable, signal: AbortSignal): Promise<void> {
    const { clock, longest } = this.#options;
    const late = clock.after(longest, () => stream.destroy(new Error(`not taken within ${longest} ms`)));
    stream.once("close", () => {
      late[Symbol.dispose]();
      place[Symbol.dispose]();
    });
    // Whoever sends the stream tells its errors; in between, one that nobody hears would end the process.
    stream.on("error", () => undefined);
    try {
      await once(stream, "readable", { signal });
    } catch (error) {
      stream.destroy();
      throw signal.aborted ? nobodyWaits() : error;
    }
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { clock, patience, waiting: most } = this.#options;
    if (this.#waiting.size >= most) throw this.#busy();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const me: Waiting = { take: resolve };
    // It leaves the line at once: a place given to it now would be lost.
    const leave = (why: HttpProblem) => {
      this.#waiting.delete(me);
      reject(why);
    };
    const left = () => leave(nobodyWaits());
    this.#waiting.add(me);
    signal.addEventListener("abort", left, { once: true });
    const patient = clock.after(patience, () => leave(this.#busy()));
    try {
      await promise;
    } finally {
      patient[Symbol.dispose]();
      signal.removeEventListener("abort", left);
    }
  }

  /** The place goes to the next in line directly, so that nobody can overtake it. */
  #give(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#taken -= 1;
      return;
    }
    this.#waiting.delete(next);
    next.take();
  }

  #busy(): HttpProblem {
    const { limit, what, patience } = this.#options;
    return new HttpProblem(503, `${limit} ${what} are being sent already`, {
      headers: { "retry-after": String(Math.ceil(patience / 1000)) },
    });
  }
}

function nobodyWaits(): HttpProblem {
  return new HttpProblem(408, "nobody waits for it any more");
}
