import type { ResourceKind } from "../../config/resources.ts";
import type { LaneGate, ObjectLane } from "./object-lane.ts";
import type { ResourceApi } from "./resource-api.ts";
import type { Waiter } from "./write-job.ts";
import type { WriteTask } from "./write-scheduler.ts";

export interface RemovalOptions {
  readonly api: ResourceApi;
  readonly kind: ResourceKind;
  readonly namespace: string;
  /** `key=value`, several with commas. */
  readonly labelSelector: string;
  /** Called once, whatever the end. */
  readonly over: (removal: Removal) => void;
}

/**
 * The removal of all objects with some labels. It takes its turn among the writes to each of them: what
 * was asked for before is needless, what is asked for meanwhile waits.
 */
export class Removal implements WriteTask, LaneGate {
  readonly waiters: Waiter[] = [];
  readonly lanes = new Set<ObjectLane>();
  readonly #options: RemovalOptions;
  readonly #labels: readonly (readonly [string, string])[];
  #over = false;
  #refused = false;

  constructor(options: RemovalOptions) {
    this.#options = options;
    this.#labels = options.labelSelector.split(",").map((term) => {
      const [key = "", value = ""] = term.split("=");
      return [key, value];
    });
  }

  get kind(): string {
    return this.#options.kind;
  }

  get name(): string {
    return `${this.#options.namespace}/${this.#options.labelSelector}`;
  }

  /** Not while a request about one of its objects is under way, nor before an earlier removal. */
  get ready(): boolean {
    return !this.#over && [...this.lanes].every(({ running, gates }) => !running && [...gates][0] === this);
  }

  get refused(): boolean {
    return this.#refused;
  }

  /** Whether these are the objects that it removes. */
  isOf(namespace: string, labelSelector: string): boolean {
    return namespace === this.#options.namespace && labelSelector === this.#options.labelSelector;
  }

  hits(kind: ResourceKind, namespace: string, labels: Readonly<Record<string, string>> = {}): boolean {
    if (kind !== this.#options.kind || namespace !== this.#options.namespace) return false;
    return this.#labels.every(([key, value]) => labels[key] === value);
  }

  covers({ ref, make }: ObjectLane): boolean {
    if (ref.kind !== this.#options.kind || ref.namespace !== this.#options.namespace) return false;
    return this.hits(ref.kind, ref.namespace, make?.().metadata?.labels);
  }

  /** Holds the lane back; what waits there is overtaken by the removal. */
  hold(lane: ObjectLane): void {
    this.lanes.add(lane);
    this.waiters.push(...(lane.takeWaiting()?.waiters ?? []));
    lane.gates.add(this);
  }

  done(): Promise<void> {
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  /** Resolves when it is over, one way or the other, or refused. */
  settled(): Promise<void> {
    if (this.#over || this.#refused) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push({ resolve, reject: () => resolve(), refused: resolve }));
  }

  refuse(): void {
    this.#refused = true;
    for (const { refused } of this.waiters) refused?.();
    for (const lane of this.lanes) lane.tellRefused();
  }

  async attempt(): Promise<void> {
    const { api, kind, namespace, labelSelector } = this.#options;
    await api.deleteAll(kind, namespace, labelSelector);
    for (const lane of this.lanes) lane.gone();
    this.#end();
    for (const { resolve } of this.waiters) resolve();
  }

  abandon(error: Error): void {
    this.#end();
    for (const { reject } of this.waiters) reject(error);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    for (const lane of this.lanes) lane.gates.delete(this);
    this.#options.over(this);
  }
}
