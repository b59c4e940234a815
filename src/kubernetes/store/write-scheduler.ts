import type { Logger } from "pino";
import { FssyncError } from "../../model/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import { writeFailure, type WriteFailure } from "./write-failure.ts";

/** Something to be written, again and again until it is. */
export interface WriteTask {
  readonly kind: string;
  readonly name: string;
  /** Whether it could begin now. */
  readonly ready: boolean;
  attempt(): Promise<void>;
  /** Is told that the API server refuses it; the next attempt comes late. */
  refuse(): void;
  /** Tells those who wait that it will not be. */
  abandon(error: Error): void;
}

export interface WriteSchedulerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly mayWrite: () => boolean;
  /** Tasks at a time. */
  readonly inFlight: number;
  /** Called after every attempt. */
  readonly ended: (task: WriteTask) => void;
}

/** Pauses before another try, ms; each is between half of itself and the whole. */
const SOON = { first: 100, longest: 10_000 };
const SLOW = { first: 30_000, longest: 300_000 };
/** The longest that the API server may ask us to wait, ms. */
const LONGEST_RETRY_AFTER = 60_000;

/**
 * Decides when each task is tried. A task that fails waits longer and longer, for ever, and holds up no
 * other. When nobody answers, one task at a time finds out whether the API server is back.
 */
export class WriteScheduler {
  readonly #options: WriteSchedulerOptions;
  readonly #queue = new Set<WriteTask>();
  readonly #running = new Map<WriteTask, Promise<void>>();
  readonly #delayed = new Map<WriteTask, Disposable>();
  readonly #failures = new Map<WriteTask, { count: number; said: string | null }>();
  /** What was said in the log and still holds. */
  readonly #said = new Set<string>();
  #pause: Disposable | null = null;
  #away = false;
  /** Attempts in a row that the server did not answer, or not well. */
  #unanswered = 0;
  #probes = 0;

  constructor(options: WriteSchedulerOptions) {
    this.#options = options;
  }

  /** Resolves when no request is under way any more of those that are now. */
  async quiet(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  add(task: WriteTask): void {
    if (this.#running.has(task) || this.#delayed.has(task) || !task.ready) return;
    this.#queue.add(task);
    this.#pump();
  }

  /** Forgets the task and tells those who wait for it. What runs goes on to the end of its request. */
  abandonAll(error: Error): void {
    const tasks = [...this.#queue, ...this.#delayed.keys()];
    for (const timer of this.#delayed.values()) timer[Symbol.dispose]();
    this.#queue.clear();
    this.#delayed.clear();
    this.#failures.clear();
    this.#pause?.[Symbol.dispose]();
    this.#pause = null;
    for (const task of tasks) {
      task.abandon(error);
      this.#options.ended(task);
    }
  }

  #pump(): void {
    if (this.#queue.size === 0) return;
    if (!this.#options.mayWrite()) return this.abandonAll(notLeading());
    if (this.#pause) return;
    const limit = this.#away ? 1 : this.#options.inFlight;
    for (const task of this.#queue) {
      if (this.#running.size >= limit) return;
      this.#queue.delete(task);
      if (task.ready) this.#running.set(task, this.#run(task));
    }
  }

  async #run(task: WriteTask): Promise<void> {
    // Not before the caller has noted that it runs.
    await Promise.resolve();
    try {
      await task.attempt();
      this.#succeeded(task);
    } catch (error) {
      if (this.#options.mayWrite()) this.#failed(task, writeFailure(error));
      else task.abandon(notLeading());
    }
    this.#running.delete(task);
    if (task.ready && !this.#delayed.has(task)) this.#queue.add(task);
    this.#options.ended(task);
    this.#pump();
  }

  #succeeded(task: WriteTask): void {
    this.#answered();
    const before = this.#failures.get(task);
    this.#failures.delete(task);
    if (before?.said) this.#said.delete(before.said);
  }

  #failed(task: WriteTask, failure: WriteFailure): void {
    const { kind, status, message } = failure;
    const count = (this.#failures.get(task)?.count ?? 0) + 1;
    const said = kind === "slow" || status === 401 ? `${status} ${task.kind}` : null;
    this.#failures.set(task, { count, said });
    this.#options.log.debug({ kind: task.kind, object: task.name, status, message, count }, "status not written");
    if (said) this.#complain(said, task, failure);
    if (kind === "away") return this.#serverAway(message);
    if (status >= 500) this.#faltered(message);
    else this.#answered();
    if (kind === "overloaded") return this.#pauseFor(failure.after ?? this.#backoff(count, SOON));
    if (kind === "slow") task.refuse();
    const delay = Math.max(this.#backoff(count, kind === "slow" ? SLOW : SOON), limited(failure.after));
    this.#delayed.set(
      task,
      this.#options.clock.after(delay, () => {
        this.#delayed.delete(task);
        this.add(task);
      }),
    );
  }

  #complain(said: string, { kind, name }: WriteTask, { message, next }: WriteFailure): void {
    if (this.#said.has(said)) return;
    this.#said.add(said);
    this.#options.log.error({ kind, object: name, message, next }, "the API server refuses the status");
  }

  /** A server that fails whatever it is asked is as good as away. */
  #faltered(message: string): void {
    this.#unanswered += 1;
    if (this.#unanswered >= this.#options.inFlight) this.#serverAway(message);
  }

  #serverAway(message: string): void {
    if (!this.#away) this.#options.log.warn({ message }, "the API server does not answer; status is written later");
    this.#away = true;
    if (this.#pause) return;
    this.#probes += 1;
    this.#pauseFor(this.#backoff(this.#probes, SOON));
  }

  #answered(): void {
    if (this.#away) this.#options.log.info("the API server answers again");
    this.#away = false;
    this.#unanswered = 0;
    this.#probes = 0;
  }

  #pauseFor(delay: number): void {
    this.#pause?.[Symbol.dispose]();
    this.#pause = this.#options.clock.after(limited(delay), () => {
      this.#pause = null;
      this.#pump();
    });
  }

  #backoff(count: number, { first, longest }: typeof SOON): number {
    const whole = Math.min(longest, first * 2 ** Math.min(count - 1, 20));
    return whole * (0.5 + this.#options.clock.random() / 2);
  }
}

function limited(delay: number | null): number {
  return Math.min(delay ?? 0, LONGEST_RETRY_AFTER);
}

export function notLeading(): FssyncError {
  return new FssyncError("Interrupted", "status is not written: this process does not lead any more");
}
