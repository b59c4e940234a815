import type { ObjectRef, Resource } from "../objects.ts";
import { ApiError, apiError, isConflict, isNotFound } from "../api-error.ts";
import { adoption } from "./adopt.ts";
import type { ResourceApi } from "./resource-api.ts";
import { isOlder } from "./resource-version.ts";
import { bothJobs, type Waiting } from "./overlay.ts";
import type { WriteTask } from "./write-scheduler.ts";
import { mergeJobs, patchOf, type Make, type WriteJob } from "./write-job.ts";

/** What is known of an object as the API server has it. */
export interface Observed {
  readonly resourceVersion?: string | undefined;
  readonly generation?: number | undefined;
  /** It has the label and the owner that it is made with. */
  readonly ours?: boolean;
}

/** Rounds of "changed meanwhile, read again" before the lane waits a little. */
const ROUNDS = 5;

/**
 * Everything that is to be written to one object: at most one job under way and one that waits, into
 * which whatever comes meanwhile is merged. A patch carries the resource version that was seen last,
 * so that a process whose time is over cannot overwrite what its successor wrote.
 */
export class ObjectLane implements WriteTask {
  readonly ref: ObjectRef;
  make: Make | undefined;
  /** What must be done before this lane goes on. */
  readonly gates = new Set<LaneGate>();
  readonly #api: ResourceApi;
  #waiting: WriteJob | null = null;
  #running: WriteJob | null = null;
  #exists: boolean | undefined;
  #refused = false;
  #ours = false;
  #seen: Observed = {};

  constructor({ ref, api }: { ref: ObjectRef; api: ResourceApi }) {
    this.ref = ref;
    this.#api = api;
  }

  get kind(): string {
    return this.ref.kind;
  }

  get name(): string {
    return `${this.ref.namespace}/${this.ref.name}`;
  }

  get ready(): boolean {
    return this.#waiting !== null && this.gates.size === 0;
  }

  get busy(): boolean {
    return this.#waiting !== null || this.#running !== null;
  }

  get running(): boolean {
    return this.#running !== null;
  }

  /** Whether the API server refused the last attempt, or what this lane waits for. */
  get refused(): boolean {
    return this.#refused || [...this.gates].some(({ refused }) => refused);
  }

  /** What is not done yet; what a gate does before is its own. */
  get waiting(): Waiting | null {
    const job = bothJobs(this.#running, this.#waiting);
    if (job === null && this.gates.size === 0) return null;
    const { remove = false, spec = null, status = null } = job ?? {};
    return { ref: this.ref, make: this.make, remove: remove || this.gates.size > 0, spec, status };
  }

  /** Nothing waits and nothing is known that a new lane would have to know. */
  get forgettable(): boolean {
    return !this.busy && this.gates.size === 0 && this.#exists === false;
  }

  push(job: WriteJob): Promise<void> {
    const done = new Promise<void>((resolve, reject) => job.waiters.push({ resolve, reject }));
    this.#waiting = mergeJobs(this.#waiting, job);
    return done;
  }

  /** Resolves when what waits now is settled, one way or the other, or is refused. */
  settled(): Promise<void> {
    const job = this.#waiting ?? this.#running;
    if (job === null || this.refused) return Promise.resolve();
    return new Promise((resolve) => job.waiters.push({ resolve, reject: () => resolve(), refused: resolve }));
  }

  refuse(): void {
    this.#refused = true;
    this.tellRefused();
  }

  tellRefused(): void {
    for (const { refused } of [...(this.#running?.waiters ?? []), ...(this.#waiting?.waiters ?? [])]) refused?.();
  }

  /** Takes what waits off the lane, for the one who does it in its place. */
  takeWaiting(): WriteJob | null {
    const job = this.#waiting;
    this.#waiting = null;
    return job;
  }

  /** An older version than the one known is passed over. */
  observed({ resourceVersion, generation, ours }: Observed): void {
    this.#exists = true;
    this.#ours ||= ours === true;
    if (resourceVersion !== undefined && isOlder(resourceVersion, this.#seen.resourceVersion)) return;
    this.#seen = {
      resourceVersion: resourceVersion ?? this.#seen.resourceVersion,
      generation: generation ?? this.#seen.generation,
    };
  }

  gone(): void {
    this.#exists = false;
    this.#ours = false;
    this.#seen = {};
  }

  /** Does what waits. When it rejects, what was not done waits again. */
  async attempt(): Promise<void> {
    const job = this.takeWaiting();
    if (job === null) return;
    this.#running = job;
    try {
      await this.#do(job);
      this.#running = null;
      this.#refused = false;
      for (const { resolve } of job.waiters) resolve();
    } catch (error) {
      this.#running = null;
      const [gate] = this.gates;
      if (gate) gate.waiters.push(...job.waiters);
      else this.#waiting = this.#waiting === null ? job : mergeJobs(job, this.#waiting);
      throw error;
    }
  }

  abandon(error: Error): void {
    for (const { reject } of this.takeWaiting()?.waiters ?? []) reject(error);
  }

  async #do(job: WriteJob): Promise<void> {
    if (job.remove) {
      await orWhen(isNotFound, () => this.#api.delete(this.ref));
      this.gone();
      job.remove = false;
      job.isNew = true;
    }
    if (this.#exists === undefined && job.isNew) this.#exists = false;
    for (let round = 0; job.status !== null || job.spec !== null; round += 1) {
      if (this.#exists === false && !(await this.#create(job))) return;
      if (this.#exists === true && !this.#ours && !(await this.#adopt())) {
        if (round < ROUNDS) continue;
        throw new ApiError("KubernetesUnavailable", `${this.name} is not gone yet`, { status: 409, retryAfter: null });
      }
      const refused = await this.#patch(job);
      if (!refused) return;
      if (round >= ROUNDS) throw refused;
      if (isNotFound(refused)) this.gone();
      else await this.#readAgain();
    }
  }

  /** False when there is nothing to write on: the object is gone, and not ours to make. */
  async #create(job: WriteJob): Promise<boolean> {
    const made = this.make?.();
    if (made === undefined) return false;
    const { status, ...rest } = made;
    const created = await orWhen(isConflict, () => this.#api.create(this.ref, rest));
    if (created) {
      this.#took(created);
      this.#ours = true;
      job.spec = null;
    } else this.#exists = true;
    if (status) job.status = { ...status, ...job.status };
    return true;
  }

  /** Makes an object its own that somebody else made; false when it must be made anew. */
  async #adopt(): Promise<boolean> {
    const made = this.make?.();
    if (made === undefined) return true;
    const found = await this.#readAgain();
    if (found === undefined) return false;
    const todo = adoption(found, made);
    if (todo === "anew") {
      await orWhen(isNotFound, () => this.#api.delete(this.ref));
      this.gone();
      return false;
    }
    if (todo !== "ours") this.#took(await this.#api.patch(this.ref, this.#locked(todo.patch)));
    this.#ours = true;
    return true;
  }

  /** The refusal that another look at the object may mend; undefined when all is done. */
  async #patch(job: WriteJob): Promise<ApiError | undefined> {
    try {
      if (job.spec !== null) this.#took(await this.#api.patch(this.ref, this.#locked({ spec: job.spec })));
      job.spec = null;
      if (job.status === null) return undefined;
      const { generation } = this.#seen;
      const observed = generation === undefined ? {} : { observedGeneration: generation };
      const status = { ...patchOf(job.status), ...observed };
      this.#took(await this.#api.patchStatus(this.ref, this.#locked({ status })));
      job.status = null;
      return undefined;
    } catch (thrown) {
      const error = apiError(thrown);
      if (isConflict(error) || (isNotFound(error) && error.reason !== "CrdMissing")) return error;
      throw thrown;
    }
  }

  async #readAgain(): Promise<Resource | undefined> {
    const found = await orWhen(isNotFound, () => this.#api.get(this.ref));
    // What was known is refused, however new it seemed: the server may have been restored from a backup.
    this.#seen = {};
    if (found) this.#took(found);
    else this.gone();
    return found;
  }

  /** A watch may have told of something newer than an answer that took its time. */
  #took({ metadata }: Resource): void {
    this.observed({ resourceVersion: metadata?.resourceVersion, generation: metadata?.generation });
  }

  #locked({ metadata, ...body }: { readonly metadata?: object; readonly [key: string]: unknown }): object {
    const { resourceVersion } = this.#seen;
    return { metadata: { ...metadata, ...(resourceVersion !== undefined && { resourceVersion }) }, ...body };
  }
}

/** Something that all of some lanes wait for; it takes over what it makes needless. */
export interface LaneGate {
  readonly waiters: WriteJob["waiters"];
  readonly refused: boolean;
}

async function orWhen<T>(expected: (error: ApiError) => boolean, call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (thrown) {
    if (!expected(apiError(thrown))) throw thrown;
    return undefined;
  }
}
