import type { AppKey } from "../model/app.ts";
import { REASONS } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import { isDown } from "../plan/state.ts";
import type { Clock } from "../ports/clock.ts";
import type { RateLimitingQueue } from "../queue/rate-limiting-queue.ts";
import type { Collector } from "./collector.ts";
import type { AppOutcome, HostReconciler } from "./host-reconciler.ts";
import type { Report } from "./report.ts";
import type { Done, Requests } from "./requests.ts";
import type { Suspension } from "./suspension.ts";
import type { Verification } from "./verification/verification.ts";

export interface HostWorkerOptions {
  readonly queue: RateLimitingQueue<HostKey>;
  readonly requests: Requests;
  readonly reconciler: HostReconciler;
  readonly verification: Verification;
  readonly collector: Collector;
  readonly suspension: Suspension;
  readonly report: Report;
  /** Whether hosts that failed are tried again. */
  readonly retry: boolean;
  /** Whether nothing is done that nobody asked for. */
  readonly onlyWishes: () => boolean;
  /** Ends the work under way. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** Takes hosts out of the queue, one at a time, and gives each its turn: a sync of what lags, then a look where one is due. */
export class HostWorker {
  readonly #options: HostWorkerOptions;

  constructor(options: HostWorkerOptions) {
    this.#options = options;
  }

  /** Works until the queue is shut down. Many may run at once: the queue gives a host to one of them. */
  async run(): Promise<void> {
    const { queue } = this.#options;
    for (let key = await queue.get(); key !== undefined; key = await queue.get()) {
      await this.#turn(key);
      queue.done(key);
    }
  }

  async #turn(key: HostKey): Promise<void> {
    const { requests, verification, report, queue, retry, signal } = this.#options;
    const request = requests.take(key);
    const looks = verification.take(key);
    let again: boolean;
    /** Of what was asked for, what did not come about. */
    let failed: ReadonlySet<AppKey> | undefined;
    let done: Done = null;
    try {
      const outcomes = await this.#sync(key, request.wishes);
      done = new Set(outcomes.filter(({ error }) => error === null).map(({ desired }) => desired.key));
      failed = new Set(this.#unfulfilled(key, outcomes).map(({ desired }) => desired.key));
      const reached = outcomes.every(wasReached);
      const asked = new Set(request.wishes.keys());
      const onlyAsked = this.#options.onlyWishes();
      const looksAgain = await verification.serve(key, { looks, reached, asked, onlyAsked, signal });
      again = looksAgain || this.#unfulfilled(key, outcomes).some(mayHelpToRetry);
    } catch (err) {
      report.notRecorded(key, err);
      verification.giveUp(looks);
      again = true;
    }
    if (again && retry) {
      request.keep(failed);
      queue.addRateLimited(key);
    } else {
      queue.forget(key);
    }
    request.attempted(done);
  }

  async #sync(key: HostKey, wishes: ReturnType<Requests["take"]>["wishes"]): Promise<readonly AppOutcome[]> {
    const { clock, reconciler, collector, report, signal } = this.#options;
    const started = clock.monotonic();
    const outcomes = await reconciler.reconcile(key, wishes, { onlyWishes: this.#options.onlyWishes(), signal });
    report.outcomes(key, outcomes, (clock.monotonic() - started) / 1000);
    if (outcomes.some(({ error }) => error === null)) collector.mark();
    return outcomes;
  }

  /** By itself nothing goes on where people have stopped work. */
  #unfulfilled(key: HostKey, outcomes: readonly AppOutcome[]): AppOutcome[] {
    return outcomes.filter(({ error, desired }) => error && !this.#options.suspension.holds(desired.key, key));
  }
}

function mayHelpToRetry({ error }: AppOutcome): boolean {
  return error !== null && REASONS[error.reason].retry;
}

function wasReached({ error }: AppOutcome): boolean {
  return error === null || !isDown(error.reason);
}
