import { once } from "node:events";
import type { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
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

/** Bytes a second. Who takes less for as long as WINDOW, in milliseconds, gives way to others. */
const LEAST_SPEED = 64 * 1024;
const WINDOW = 30_000;

interface Waiting {
  readonly who: string;
  readonly take: () => void;
}

export interface Sending {
  readonly signal: AbortSignal;
  /** Bytes that have left for the client by now, of this and of what came before. */
  readonly sent: () => number;
}

/**
 * Keeps what costs memory and processes to a number at a time; others wait a little, in the order they came. Nobody has
 * all of it: the last place is for others than who has half of them, and these come first while they wait. What is
 * taken slowly is ended when somebody waits.
 */
export class Places {
  readonly #options: PlacesOptions;
  readonly #waiting = new Set<Waiting>();
  /** Places by who has them. */
  readonly #taken = new Map<string, number>();
  #free: number;
  /** Those that were taken slowly of late, in the order it was seen. */
  readonly #slow = new Set<Readable>();

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.#free = options.limit;
  }

  /** A place, which is free again when it is disposed of. Throws 503 when none gets free in time, 408 when the signal aborts before. */
  async take(who: string, signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) throw nobodyWaits();
    if (this.#hasPlaceFor(who)) this.#count(who, 1);
    else await this.#wait(who, signal);
    let given = false;
    return {
      [Symbol.dispose]: () => {
        if (given) return;
        given = true;
        this.#count(who, -1);
        this.#giveNext();
      },
    };
  }

  /**
   * The place is taken for as long as the stream is open. Resolves when there is something to be sent: trouble before
   * that is thrown, and can be told. Throws 408 when the signal aborts before.
   */
  async hold(place: Disposable, stream: Readable, { signal, sent }: Sending): Promise<void> {
    const { clock, longest } = this.#options;
    const late = clock.after(longest, () => stream.destroy(new Error(`not taken within ${longest} ms`)));
    const watch = this.#watchSpeed(stream, sent);
    stream.once("close", () => {
      watch[Symbol.dispose]();
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

  #watchSpeed(stream: Readable, sent: () => number): Disposable {
    const { clock } = this.#options;
    let before = sent();
    const look = () => {
      const now = sent();
      if (now - before < (LEAST_SPEED * WINDOW) / 1000) this.#slow.add(stream);
      else this.#slow.delete(stream);
      before = now;
      timer = clock.after(WINDOW, look);
      this.#endSlow();
    };
    let timer = clock.after(WINDOW, look);
    return {
      [Symbol.dispose]: () => {
        timer[Symbol.dispose]();
        this.#slow.delete(stream);
      },
    };
  }

  /** As many as wait. */
  #endSlow(): void {
    for (const stream of [...this.#slow].slice(0, this.#waiting.size)) {
      this.#slow.delete(stream);
      stream.destroy(new Error(`taken at less than ${LEAST_SPEED} bytes a second while others wait`));
    }
  }

  async #wait(who: string, signal: AbortSignal): Promise<void> {
    const { clock, patience, waiting: most } = this.#options;
    if (this.#waiting.size >= most) throw this.#busy();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const me: Waiting = { who, take: resolve };
    // It leaves the line at once: a place given to it now would be lost.
    const leave = (why: HttpProblem) => {
      this.#waiting.delete(me);
      reject(why);
    };
    const left = () => leave(nobodyWaits());
    this.#waiting.add(me);
    signal.addEventListener("abort", left, { once: true });
    this.#endSlow();
    const patient = clock.after(patience, () => leave(this.#busy()));
    try {
      await promise;
    } finally {
      patient[Symbol.dispose]();
      signal.removeEventListener("abort", left);
    }
  }

  #hasPlaceFor(who: string): boolean {
    return this.#free > (this.#hasHalf(who) ? 1 : 0);
  }

  #hasHalf(who: string): boolean {
    return (this.#taken.get(who) ?? 0) >= this.#options.limit / 2;
  }

  #count(who: string, more: 1 | -1): void {
    const taken = (this.#taken.get(who) ?? 0) + more;
    if (taken === 0) this.#taken.delete(who);
    else this.#taken.set(who, taken);
    this.#free -= more;
  }

  /** The place goes to the next in line directly, so that nobody can overtake it. */
  #giveNext(): void {
    const waiting = [...this.#waiting];
    const next = waiting.find(({ who }) => !this.#hasHalf(who)) ?? waiting[0];
    if (!next || !this.#hasPlaceFor(next.who)) return;
    this.#waiting.delete(next);
    this.#count(next.who, 1);
    next.take();
  }

  #busy(): HttpProblem {
    const { limit, what, patience } = this.#options;
    return new HttpProblem(503, `no more than ${limit} ${what} are sent at a time, and all places are taken`, {
      headers: { "retry-after": String(Math.ceil(patience / 1000)) },
    });
  }
}

/** Of a reply's connection. */
export function bytesSent({ raw: { socket } }: FastifyReply): () => number {
  return () => socket?.bytesWritten ?? 0;
}

function nobodyWaits(): HttpProblem {
  return new HttpProblem(408, "nobody waits for it any more");
}
