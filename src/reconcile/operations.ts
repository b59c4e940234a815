import { randomUUID } from "node:crypto";
import type { HostKey } from "../model/host.ts";
import type { Clock } from "../ports/clock.ts";
import type { Controller, SyncRequest, SyncResult } from "./controller.ts";
import { asFssyncError, type FssyncError } from "../model/errors.ts";

/** A sync that somebody asked for, to be followed while it runs and for an hour after. Times are milliseconds. */
export interface SyncOperation {
  readonly id: string;
  readonly request: SyncRequest;
  readonly by: string;
  readonly createdAt: number;
  readonly finishedAt: number | null;
  /** Known once Git and the inventory were asked. */
  readonly hosts: ReadonlySet<HostKey> | null;
  /** Which of them were attempted. */
  readonly attempted: ReadonlySet<HostKey>;
  /** What came of it; null while it runs and when it could not be done at all. */
  readonly result: SyncResult | null;
  readonly error: FssyncError | null;
}

/** How long a finished operation is kept. */
const KEPT = 3_600_000;

export class Operations implements AsyncDisposable {
  readonly #controller: Controller;
  readonly #clock: Clock;
  readonly #operations = new Map<string, SyncOperation>();

  constructor({ controller, clock }: { controller: Controller; clock: Clock }) {
    this.#controller = controller;
    this.#clock = clock;
  }

  /** Begins a sync; returns at once. */
  begin(request: SyncRequest, by: string): SyncOperation {
    const error = asFssyncError(new Error(`not built yet: ${KEPT} ${this.#controller.repos.length}`));
    const id = randomUUID();
    const times = { createdAt: this.#clock.now(), finishedAt: this.#clock.now() };
    return { id, request, by, ...times, hosts: null, attempted: new Set(), result: null, error };
  }

  get(id: string): SyncOperation | undefined {
    return this.#operations.get(id);
  }

  /** Newest first. */
  list(): readonly SyncOperation[] {
    return [...this.#operations.values()].toReversed();
  }

  /** Resolves with the operation when it is over, when so many milliseconds have passed, or when the signal aborts. */
  async wait(id: string, _milliseconds: number, _signal: AbortSignal): Promise<SyncOperation | undefined> {
    return this.get(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
