import type { Clock } from "../ports/clock.ts";

export interface RecentAnswersOptions {
  readonly clock: Clock;
  /** Milliseconds from the question on. */
  readonly holds: number;
  /** Answers that are kept; of more, the one that was not wanted for longest goes. */
  readonly most: number;
}

/** Answers that hold for a while. Whoever asks while the same question is under way shares its answer; failures are not kept. */
export class RecentAnswers<Answer> {
  readonly #options: RecentAnswersOptions;
  /** In the order of their last use. */
  readonly #answers = new Map<string, { readonly askedAt: number; readonly answer: Promise<Answer> }>();

  constructor(options: RecentAnswersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** The answer, if it still holds. */
  held(question: string): Promise<Answer> | undefined {
    const { clock, holds } = this.#options;
    const before = this.#answers.get(question);
    return before && clock.monotonic() - before.askedAt < holds ? before.answer : undefined;
  }

  get(question: string, ask: () => Promise<Answer>): Promise<Answer> {
    const { clock, holds, most } = this.#options;
    const before = this.#answers.get(question);
    this.#answers.delete(question);
    if (before && clock.monotonic() - before.askedAt < holds) {
      this.#answers.set(question, before);
      return before.answer;
    }
    const asked = { askedAt: clock.monotonic(), answer: ask() };
    this.#answers.set(question, asked);
    const oldest = this.#answers.size > most ? this.#answers.keys().next() : undefined;
    if (oldest && !oldest.done) this.#answers.delete(oldest.value);
    asked.answer.catch(() => {
      if (this.#answers.get(question) === asked) this.#answers.delete(question);
    });
    return asked.answer;
  }
}
