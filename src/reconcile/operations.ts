import { createHash, randomUUID } from "node:crypto";
import { asFssyncError, FssyncError } from "../model/errors.ts";
import { sleep, type Clock } from "../ports/clock.ts";
import type { Controller, SyncRequest } from "./controller.ts";
import { select } from "./selection.ts";
import { SyncOperation } from "./sync-operation.ts";
import { selectedHosts } from "./wishes.ts";

/** How long one is kept after its end. */
const KEPT = 3_600_000;
const LIMITS = {
  /** When there are more, the caller who has most of them loses the oldest that is over. */
  operations: 1000,
  /** When those that are over hold more results, of apps on hosts, 0.3 KB each, the caller who has most loses the oldest. */
  results: 200_000,
  /** At a time; */
  running: 100,
  /** and of so many apps on hosts together, but for one that is alone. */
  runningResults: 200_000,
};

export interface Asker {
  readonly by: string;
  /** The same key of the same asker is the same operation, until an hour after its end. */
  readonly key?: string | undefined;
}

export type Begun =
  | { readonly operation: SyncOperation; readonly repeated: boolean }
  /** `TooMany` are running; the `KeyReused` is that of another request; or that of one that is over and `Forgotten`. */
  | { readonly refused: "TooMany" | "KeyReused" | "Forgotten" };

/** What a key stands for. It is small, and outlives its operation where others have taken the place of that. */
interface Keyed {
  readonly id: string;
  /** Digest of what was asked. */
  readonly request: string;
}

/** The syncs that somebody asked for over HTTP, to be followed while they run and for an hour after. */
export class Operations implements AsyncDisposable {
  readonly #controller: Controller;
  readonly #clock: Clock;
  readonly #limits: typeof LIMITS;
  /** In the order in which they began. */
  readonly #operations = new Map<string, SyncOperation>();
  readonly #byKey = new Map<string, Keyed>();
  readonly #keyOf = new Map<string, string>();
  /** What ends the hour of those that are over. */
  readonly #hours = new Map<string, Disposable>();
  /** The apps on hosts of each that runs. */
  readonly #running = new Map<SyncOperation, number>();
  #ended: FssyncError | null = null;
  #refused: FssyncError | null = null;

  constructor(options: { controller: Controller; clock: Clock; limits?: Partial<typeof LIMITS> }) {
    this.#controller = options.controller;
    this.#clock = options.clock;
    this.#limits = { ...LIMITS, ...options.limits };
  }

  /**
   * Begins a sync, once it is sure that what it names is there. Throws UnknownName, and Interrupted once all are to
   * end; then nothing was begun. The sync goes on whether or not somebody waits for it.
   */
  async begin(request: SyncRequest, asker: Asker, signal: AbortSignal): Promise<Begun> {
    const early = this.#before(request, asker);
    if (early) return early;
    await this.#controller.require(request, signal);
    const before = this.#before(request, asker);
    if (before) return before;
    const results = this.#resultsOf(request);
    if (this.#running.size > 0 && sumOf(this.#running.values()) + results > this.#limits.runningResults)
      return { refused: "TooMany" };
    return { operation: this.#start(request, asker, results), repeated: false };
  }

  get(id: string): SyncOperation | undefined {
    return this.#operations.get(id);
  }

  /** Newest first. */
  list(): readonly SyncOperation[] {
    return [...this.#operations.values()].toReversed();
  }

  /** Resolves when the operation is over, when so many milliseconds have passed, or when the signal aborts. */
  async wait({ over }: SyncOperation, milliseconds: number, signal: AbortSignal): Promise<void> {
    if (milliseconds > 0) await sleep(this.#clock, milliseconds, AbortSignal.any([over, signal]));
  }

  /** None is begun any more, for this reason; those that run go on. */
  refuse(error: FssyncError): void {
    this.#refused ??= error;
  }

  /** Those that run are over, for this reason, and none is begun any more. */
  end(error: FssyncError): void {
    this.#ended ??= error;
    for (const operation of this.#operations.values()) this.#finish(operation, this.#ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end(new FssyncError("Interrupted", "this process was told to stop"));
    for (const hour of this.#hours.values()) hour[Symbol.dispose]();
  }

  #before(request: SyncRequest, { by, key }: Asker): Begun | undefined {
    const known = key === undefined ? undefined : this.#byKey.get(keyOf(by, key));
    if (this.#ended) throw this.#ended;
    if (known) {
      const operation = this.#operations.get(known.id);
      if (known.request !== digestOf(request)) return { refused: "KeyReused" };
      return operation ? { operation, repeated: true } : { refused: "Forgotten" };
    }
    if (this.#refused) throw this.#refused;
    return this.#running.size >= this.#limits.running ? { refused: "TooMany" } : undefined;
  }

  /** How much it would have to keep, by what is known now. */
  #resultsOf(request: SyncRequest): number {
    const parts = select(this.#controller.running, request);
    return sumOf(
      parts.map(({ repo, selection }) =>
        sumOf([...selectedHosts(repo.fleet, selection)].map(({ apps }) => apps.length)),
      ),
    );
  }

  #start(request: SyncRequest, { by, key }: Asker, results: number): SyncOperation {
    const operation = new SyncOperation({ id: randomUUID(), request, by, createdAt: this.#clock.now() });
    this.#operations.set(operation.id, operation);
    if (key !== undefined) {
      this.#byKey.set(keyOf(by, key), { id: operation.id, request: digestOf(request) });
      this.#keyOf.set(operation.id, keyOf(by, key));
    }
    this.#running.set(operation, results);
    void this.#run(operation);
    return operation;
  }

  async #run(operation: SyncOperation): Promise<void> {
    const { request, over } = operation;
    try {
      await this.#controller.follow(request, (parts) => operation.begin(parts), over);
      this.#finish(operation);
    } catch (error) {
      this.#finish(operation, asFssyncError(error));
    }
  }

  #finish(operation: SyncOperation, error: FssyncError | null = null): void {
    if (operation.finishedAt !== null) return;
    operation.finish(this.#clock.now(), error);
    const { id } = operation;
    this.#hours.set(
      id,
      this.#clock.after(KEPT, () => this.#forget(id)),
    );
    this.#running.delete(operation);
    this.#makeRoom(operation);
  }

  /** What has just ended stays, for whoever asked for it. */
  #makeRoom(ended: SyncOperation): void {
    const limits = this.#limits;
    const over = () => [...this.#operations.values()].filter(({ finishedAt }) => finishedAt !== null);
    const resultsOf = ({ results }: SyncOperation) => results;
    while (sumOf(over().map(resultsOf)) > limits.results) {
      const loses = oldestOfTheBusiest(over(), ended, resultsOf);
      if (!loses) break;
      loses.forgetHosts();
    }
    while (this.#operations.size > limits.operations) {
      const loses = oldestOfTheBusiest(over(), ended, () => 1);
      if (!loses) break;
      this.#operations.delete(loses.id);
    }
  }

  #forget(id: string): void {
    this.#hours.delete(id);
    this.#operations.delete(id);
    const key = this.#keyOf.get(id);
    if (key !== undefined) this.#byKey.delete(key);
    this.#keyOf.delete(id);
  }
}

/** Of the caller whose operations weigh most, the one that ended first, but for one that is spared. */
function oldestOfTheBusiest(
  operations: readonly SyncOperation[],
  spared: SyncOperation,
  weightOf: (operation: SyncOperation) => number,
): SyncOperation | undefined {
  const byCaller = [...Map.groupBy(operations, ({ by }) => by).values()].map((own) => ({
    weight: sumOf(own.map(weightOf)),
    first: own
      .filter((one) => one !== spared && weightOf(one) > 0)
      .reduce<SyncOperation | undefined>((a, b) => (a && a.finishedAt! <= b.finishedAt! ? a : b), undefined),
  }));
  return byCaller.filter(({ first }) => first).sort((a, b) => b.weight - a.weight)[0]?.first;
}

function sumOf(numbers: Iterable<number>): number {
  let sum = 0;
  for (const number of numbers) sum += number;
  return sum;
}

function digestOf(request: SyncRequest): string {
  return createHash("sha256").update(JSON.stringify(request)).digest("base64");
}

function keyOf(by: string, key: string): string {
  return JSON.stringify([by, key]);
}
