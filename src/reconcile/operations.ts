import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { asFssyncError, FssyncError } from "../model/errors.ts";
import { sleep, type Clock } from "../ports/clock.ts";
import type { Controller, SyncRequest } from "./controller.ts";
import { SyncOperation } from "./sync-operation.ts";

/** How long one is kept after its end. */
const KEPT = 3_600_000;
const LIMITS = {
  /** Of those that are over the oldest go first when there are more, */
  operations: 1000,
  /** or when all of them hold more results, of apps on hosts: 0.3 KB each. */
  results: 200_000,
  /** Each holds on to its hosts until its end. */
  running: 100,
};

export interface Asker {
  readonly by: string;
  /** The same key of the same asker is the same operation, for as long as that is kept. */
  readonly key?: string | undefined;
}

export type Begun =
  | { readonly operation: SyncOperation; readonly repeated: boolean }
  /** `TooMany` are running; or the `KeyReused` is that of another request. */
  | { readonly refused: "TooMany" | "KeyReused" };

/** The syncs that somebody asked for over HTTP, to be followed while they run and for an hour after. */
export class Operations implements AsyncDisposable {
  readonly #controller: Controller;
  readonly #clock: Clock;
  readonly #limits: typeof LIMITS;
  /** In the order in which they began. */
  readonly #operations = new Map<string, SyncOperation>();
  readonly #byKey = new Map<string, SyncOperation>();
  /** In the order in which they ended. */
  readonly #over = new Map<string, { readonly timer: Disposable; readonly results: number; readonly keys: string[] }>();
  #running = 0;
  #overResults = 0;
  #ended: FssyncError | null = null;

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
    const before = this.#before(request, asker);
    if (before) return before;
    await this.#controller.require(request, signal);
    return this.#before(request, asker) ?? { operation: this.#start(request, asker), repeated: false };
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

  /** Those that run are over, for this reason, and none is begun any more. */
  end(error: FssyncError): void {
    this.#ended ??= error;
    for (const operation of this.#operations.values()) this.#finish(operation, this.#ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end(new FssyncError("Interrupted", "this process was told to stop"));
    for (const { timer } of this.#over.values()) timer[Symbol.dispose]();
  }

  #before(request: SyncRequest, { by, key }: Asker): Begun | undefined {
    const operation = key === undefined ? undefined : this.#byKey.get(keyOf(by, key));
    if (this.#ended) throw this.#ended;
    if (operation && !isDeepStrictEqual(operation.request, request)) return { refused: "KeyReused" };
    if (operation) return { operation, repeated: true };
    return this.#running >= this.#limits.running ? { refused: "TooMany" } : undefined;
  }

  #start(request: SyncRequest, { by, key }: Asker): SyncOperation {
    const operation = new SyncOperation({ id: randomUUID(), request, by, createdAt: this.#clock.now() });
    this.#operations.set(operation.id, operation);
    if (key !== undefined) this.#byKey.set(keyOf(by, key), operation);
    this.#running += 1;
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
    const { id, results } = operation;
    const keys = [...this.#byKey].filter(([, one]) => one === operation).map(([key]) => key);
    this.#over.set(id, { timer: this.#clock.after(KEPT, () => this.#forget(id)), results, keys });
    this.#running -= 1;
    this.#overResults += results;
    const limits = this.#limits;
    // What has just ended stays, for whoever asked for it.
    while (this.#over.size > 1 && (this.#operations.size > limits.operations || this.#overResults > limits.results)) {
      this.#forget(this.#over.keys().next().value!);
    }
  }

  #forget(id: string): void {
    const { timer, results, keys } = this.#over.get(id)!;
    timer[Symbol.dispose]();
    this.#over.delete(id);
    this.#operations.delete(id);
    for (const key of keys) this.#byKey.delete(key);
    this.#overResults -= results;
  }
}

function keyOf(by: string, key: string): string {
  return JSON.stringify([by, key]);
}
