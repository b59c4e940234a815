import type { IncomingMessage } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../ports/clock.ts";
import { addressOf } from "../limits.ts";
import { HttpProblem } from "../problem.ts";
import { Budget } from "./budget.ts";
import { Places } from "./places.ts";

/** A push of very many commits to GitHub is a few MiB. */
export const LARGEST_BODY = 8 * 1024 * 1024;

/** What bodies may take in memory: those of senders who have shown a secret, and those of which nobody knows yet who sent them. */
const ALL_BODIES = 8 * LARGEST_BODY;

/** Bodies at a time from one address while nobody knows yet who sends them; milliseconds that one may take, and that the next one waits. */
const STRANGERS = 2;
const PATIENCE = 5000;
/** GitHub itself waits for ten seconds. */
const WAIT = 8000;

/** Where the body of one request goes. */
interface Room {
  readonly budget: Budget;
  /** Milliseconds in which it must be there; null: as for any request. */
  readonly within: number | null;
  readonly taken: Disposable[];
}

/** Bodies of webhooks, as bytes until it is known who sent them. Whoever shows no secret takes no room from whoever does. */
export class Bodies {
  readonly #clock: Clock;
  readonly #ofKnown = new Budget(ALL_BODIES);
  readonly #ofStrangers = new Budget(ALL_BODIES);
  readonly #places: Places;
  readonly #rooms = new WeakMap<FastifyRequest, Room>();

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
    this.#places = new Places({ most: STRANGERS, patience: WAIT, clock });
  }

  /** Before the body of somebody who has shown a secret. Throws 413. */
  admitKnown(request: FastifyRequest, reply: FastifyReply): void {
    this.#admit(request, reply, { budget: this.#ofKnown, within: null, taken: [] });
  }

  /** Before a body that is needed to know who sends it. Throws 413, and 503 when the address has too many of them. */
  async admitStranger(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const place = await this.#places.take(addressOf(request));
    if (!place) throw tooMany();
    this.#admit(request, reply, { budget: this.#ofStrangers, within: PATIENCE, taken: [place] });
  }

  /** The body of a request that was admitted, in memory until its answer is sent. Rejects with 408, 413, 503. */
  read(request: FastifyRequest, payload: IncomingMessage): Promise<Buffer> {
    const { budget, within, taken } = this.#rooms.get(request)!;
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const chunks: Buffer[] = [];
    let size = 0;
    const take = (chunk: Buffer) => {
      size += chunk.length;
      const room = size > LARGEST_BODY ? undefined : budget.take(chunk.length);
      if (!room) return refuse(size > LARGEST_BODY ? tooLarge() : tooMany());
      taken.push(room);
      chunks.push(chunk);
    };
    const refuse = (problem: HttpProblem) => {
      payload.off("data", take).resume();
      reject(problem);
    };
    const timer = within === null ? undefined : this.#clock.after(within, () => refuse(tooSlow()));
    payload.on("data", take);
    payload.once("end", () => resolve(Buffer.concat(chunks)));
    payload.once("error", reject);
    payload.once("close", () => timer?.[Symbol.dispose]());
    return promise.finally(() => timer?.[Symbol.dispose]());
  }

  #admit(request: FastifyRequest, { raw }: FastifyReply, room: Room): void {
    const leave = () => room.taken.forEach((one) => one[Symbol.dispose]());
    this.#rooms.set(request, room);
    raw.once("close", leave);
    // It waited for too long for its client.
    if (raw.destroyed) leave();
    if (Number(request.headers["content-length"] ?? 0) > LARGEST_BODY) throw tooLarge();
  }
}

// What is still on its way is of no use: the connection ends.
const CLOSE = { connection: "close" };

function tooLarge(): HttpProblem {
  return new HttpProblem(413, `the body is larger than ${LARGEST_BODY} bytes`, { headers: CLOSE });
}

function tooSlow(): HttpProblem {
  return new HttpProblem(408, "the body did not come in time", { headers: CLOSE });
}

function tooMany(): HttpProblem {
  return new HttpProblem(503, "too many webhooks at once", { headers: { ...CLOSE, "retry-after": "5" } });
}
