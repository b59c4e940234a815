import { HttpProblem } from "../problem.ts";

/** Each is a git process or two, of some milliseconds; what syncs ask of the mirror waits behind them. */
const MOST = 32;
/** Seconds. */
const COME_AGAIN = "2";

/** Questions that Git is asked for somebody: the same one once for all who wait for it, and few at a time. */
export class Lookups {
  readonly #asked = new Map<string, Promise<unknown>>();

  /** Throws 503 when too many wait already. */
  async ask<Answer>(question: string, ask: () => Promise<Answer>): Promise<Answer> {
    const asked = this.#asked.get(question);
    if (asked) return (await asked) as Answer;
    if (this.#asked.size >= MOST)
      throw new HttpProblem(503, `${MOST} questions to Git wait already`, { headers: { "retry-after": COME_AGAIN } });
    const answer = ask().finally(() => this.#asked.delete(question));
    this.#asked.set(question, answer);
    return await answer;
  }
}
