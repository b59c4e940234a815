import type { Logger } from "pino";
import type { ResourceKind } from "../../config/resources.ts";
import type { Clock } from "../../ports/clock.ts";
import type { KubeClient } from "../client.ts";
import type { ObjectRef } from "../objects.ts";
import { ObjectLane, type Observed } from "./object-lane.ts";
import type { Unwritten } from "./overlay.ts";
import { Removal } from "./removal.ts";
import { ResourceApi } from "./resource-api.ts";
import { makeJob, type Make } from "./write-job.ts";
import { notLeading, WriteScheduler, type WriteTask } from "./write-scheduler.ts";

export interface StatusWriterOptions {
  readonly client: Pick<KubeClient, "json">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether this process still leads; asked before every single request. */
  readonly mayWrite: () => boolean;
  /** Objects written to at a time. */
  readonly inFlight?: number;
}

export interface WriteOptions {
  /** Makes the object when it is not there. Without it, what has no object is passed over. */
  readonly make?: Make;
  /** The caller knows of no such object: it is made without asking first. */
  readonly isNew?: boolean;
  /** Parts of the spec to change with it. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

const IN_FLIGHT = 16;

/**
 * The one place where this process writes status. What is written to an object while a write to it is
 * under way becomes one more write, however much it is. Nothing is given up: what the API server does
 * not take is tried for ever, until `mayWrite` says no; then everything that waits is `Interrupted`.
 */
export class StatusWriter implements AsyncDisposable {
  readonly #api: ResourceApi;
  readonly #scheduler: WriteScheduler;
  readonly #mayWrite: () => boolean;
  readonly #lanes = new Map<string, ObjectLane>();
  readonly #removals = new Set<Removal>();
  #closed = false;

  constructor({ client, clock, log, mayWrite, inFlight = IN_FLIGHT }: StatusWriterOptions) {
    this.#mayWrite = () => !this.#closed && mayWrite();
    this.#api = new ResourceApi({ client, mayWrite: this.#mayWrite });
    const ended = (task: WriteTask) => this.#ended(task);
    this.#scheduler = new WriteScheduler({ clock, log, mayWrite: this.#mayWrite, inFlight, ended });
  }

  /** Whether a write has a chance. */
  get open(): boolean {
    return this.#mayWrite();
  }

  /** Objects that something waits for or is under way for. */
  get pending(): number {
    return [...this.#lanes.values()].filter(({ busy }) => busy).length + this.#removals.size;
  }

  /**
   * Merges a part of a status, key by key, into what waits for the object; null and undefined remove a
   * key. Resolves when the API server has it, rejects with `Interrupted` when it never will.
   */
  async write(
    ref: ObjectRef,
    status: Readonly<Record<string, unknown>>,
    { make, isNew = false, spec }: WriteOptions = {},
  ): Promise<void> {
    if (!this.open) throw notLeading();
    const lane = this.#lane(ref);
    lane.make = make ?? lane.make;
    for (const removal of this.#removals) {
      if (!removal.lanes.has(lane) && removal.covers(lane)) removal.hold(lane);
    }
    const done = lane.push(makeJob({ status, spec: spec ?? null, isNew }));
    this.#scheduler.add(lane);
    await done;
  }

  /** Deletes an object, after what was written to it before and ahead of what is written later. */
  async remove(ref: ObjectRef): Promise<void> {
    if (!this.open) throw notLeading();
    const lane = this.#lane(ref);
    const done = lane.push(makeJob({ remove: true }));
    this.#scheduler.add(lane);
    await done;
  }

  /** Deletes all objects with these labels (`key=value`, several with commas), in order with writes to them. */
  async removeAll(kind: ResourceKind, namespace: string, labelSelector: string): Promise<void> {
    if (!this.open) throw notLeading();
    const over = (ended: Removal) => this.#removalOver(ended);
    const removal = new Removal({ api: this.#api, kind, namespace, labelSelector, over });
    for (const lane of this.#lanes.values()) if (removal.covers(lane)) removal.hold(lane);
    this.#removals.add(removal);
    const done = removal.done();
    this.#scheduler.add(removal);
    await done;
  }

  /** What a watch or a list saw of an object. */
  observed(ref: ObjectRef, seen: Observed): void {
    this.#lane(ref).observed(seen);
  }

  /** What a watch says is deleted. An object that something waits for finds it out by itself. */
  gone(ref: ObjectRef): void {
    const lane = this.#lanes.get(keyOf(ref));
    if (!lane || lane.busy) return;
    lane.gone();
    this.#ended(lane);
  }

  /** What is not written yet of these objects. */
  unwritten(of: (lane: ObjectLane) => boolean): Unwritten {
    const removals = [...this.#removals];
    const waiting = [...this.#lanes.values()].filter(of).map((lane) => lane.waiting);
    return {
      waiting: waiting.filter((each) => each !== null),
      removes: (kind, namespace, labels) => removals.some((removal) => removal.hits(kind, namespace, labels)),
    };
  }

  /**
   * Resolves when everything that waits now is written, is refused, or can never be, or when the signal
   * aborts: `pending` tells. With `of`, only these count.
   */
  async flush(signal: AbortSignal, of: (task: ObjectLane | Removal) => boolean = () => true): Promise<void> {
    if (signal.aborted) return;
    const settled = [...this.#lanes.values(), ...this.#removals].filter(of).map((task) => task.settled());
    const stop = Promise.withResolvers<void>();
    const abort = () => stop.resolve();
    signal.addEventListener("abort", abort, { once: true });
    await Promise.race([Promise.allSettled(settled), stop.promise]);
    signal.removeEventListener("abort", abort);
  }

  /** Ends at once: what waits is rejected, what is under way is waited for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#scheduler.abandonAll(notLeading());
    for (const removal of this.#removals) removal.abandon(notLeading());
    for (const lane of this.#lanes.values()) lane.abandon(notLeading());
    await this.#scheduler.quiet();
  }

  #lane(ref: ObjectRef): ObjectLane {
    const key = keyOf(ref);
    let lane = this.#lanes.get(key);
    if (!lane) this.#lanes.set(key, (lane = new ObjectLane({ ref, api: this.#api })));
    return lane;
  }

  #ended(task: WriteTask): void {
    if (!(task instanceof ObjectLane)) return;
    for (const gate of task.gates) if (gate instanceof Removal) this.#scheduler.add(gate);
    if (task.forgettable) this.#lanes.delete(keyOf(task.ref));
  }

  #removalOver(removal: Removal): void {
    this.#removals.delete(removal);
    for (const lane of removal.lanes) {
      this.#scheduler.add(lane);
      this.#ended(lane);
    }
  }
}

function keyOf({ kind, namespace, name }: ObjectRef): string {
  return `${kind}/${namespace}/${name}`;
}
