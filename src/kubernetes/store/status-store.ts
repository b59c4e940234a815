import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Condition } from "../../config/resources.ts";
import type { AppKey } from "../../model/app.ts";
import { FssyncError } from "../../model/errors.ts";
import { parseHostText, type HostKey } from "../../model/host.ts";
import type { DesiredRecord, HostRecord, RepoRecord } from "../../model/record.ts";
import type { Clock } from "../../ports/clock.ts";
import type { RepoStatus, StatusChange, StatusStore } from "../../ports/status-store.ts";
import type { KubeClient } from "../client.ts";
import { timeText } from "../conditions.ts";
import { REPO_LABEL, type RepoRef } from "../objects.ts";
import { hostStatus, NO_RECORD } from "./host-status.ts";
import { repoLabel, repoSelector } from "./labels.ts";
import { hostSpec, makeApp, makeHost } from "./make.ts";
import type { ObjectLane } from "./object-lane.ts";
import { Patience } from "./patience.ts";
import { Removal } from "./removal.ts";
import { RepoMemory, type HostMemory } from "./repo-memory.ts";
import { ResourceApi } from "./resource-api.ts";
import { readRepo, StatusLoader } from "./status-loader.ts";
import type { StatusWriter } from "./status-writer.ts";
import { appStatus } from "./stored-app.ts";
import { notLeading } from "./write-scheduler.ts";

export interface KubernetesStatusStoreOptions {
  readonly client: Pick<KubeClient, "json">;
  /** It is the caller's to flush and to end. */
  readonly writer: StatusWriter;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether work on an app on a host is suspended. */
  readonly suspended: (repo: string, app: AppKey, host: HostKey) => boolean;
  /** Whether the object of a host that is gone is kept: what people have set there outlives the host's absence. */
  readonly keeps?: (repo: string, host: HostKey) => boolean;
  /** The longest that a sync waits for its note, ms, while the API server is away. */
  readonly patience?: number;
}

const DEFAULT_PORT = 22;
const PATIENCE = 2000;
/** The longest that `load` waits for what was saved before, ms. */
const LOAD_WAITS = 10_000;

/**
 * The status store in Kubernetes: a ConfigApp for each app, a ConfigHost for each host. `save` takes a
 * change upon itself and resolves at once; the writer brings it to the API server as soon as it can. A
 * sync is noted once per app, not once per host: see docs/adr/0014.
 */
export class KubernetesStatusStore implements StatusStore {
  readonly #options: KubernetesStatusStoreOptions;
  readonly #api: ResourceApi;
  readonly #patience: Patience;
  readonly #repos = new Map<string, RepoMemory>();

  constructor(options: KubernetesStatusStoreOptions) {
    this.#options = options;
    this.#api = new ResourceApi(options);
    this.#patience = new Patience({ ...options, patience: options.patience ?? PATIENCE });
  }

  /** Says which ConfigRepo a name means. One that was made anew under an old name is another one. */
  register(repo: string, ref: RepoRef): void {
    if (this.#repos.get(repo)?.ref.uid !== ref.uid) this.#repos.set(repo, new RepoMemory(ref));
  }

  /** Forgets what a name means; stores nothing. */
  unregister(repo: string): void {
    this.#repos.delete(repo);
  }

  /** What was saved before and is not written yet, or is refused, counts. Throws when the API server cannot be read. */
  async load(repo: string): Promise<RepoStatus> {
    const { writer, log } = this.#options;
    const { ref } = this.#memory(repo);
    await this.#flush(ref);
    const memory = new RepoMemory(ref);
    const unwritten = writer.unwritten((lane) => concerns(lane, ref));
    const count = unwritten.waiting.length;
    if (count > 0) log.warn({ repo, count }, "taken up with status that is not written yet");
    const status = await new StatusLoader({ memory, api: this.#api, writer, unwritten, log }).load();
    this.#repos.set(repo, memory);
    return status;
  }

  /** Of the registered ones. */
  async repos(): Promise<string[]> {
    const found: string[] = [];
    for (const [repo, { ref }] of this.#repos) if (await this.#hasAnything(ref)) found.push(repo);
    return found.sort();
  }

  async save(repo: string, change: StatusChange): Promise<void> {
    const memory = this.#memory(repo);
    this.#mustBeOpen();
    if (change.repo) this.#later(this.#putRepo(memory, change.repo));
    for (const [key, app] of change.apps ?? []) this.#later(this.#putApp(memory, key, app));
    for (const [key, host] of change.hosts ?? []) this.#later(this.#putHost(repo, memory, key, host));
  }

  /**
   * Writes those of the hosts that are in another state than was written the last time: what hosts shall
   * have may have moved, or work may have been suspended, without anything happening on the host.
   */
  restate(repo: string, records: Iterable<HostRecord>): void {
    const memory = this.#repos.get(repo);
    if (!memory || !this.#options.writer.open) return;
    for (const record of records) {
      const before = memory.hosts.get(record.key);
      const { state, conditions } = before ? this.#statusOf(repo, memory, record, before) : {};
      if (before?.state === state && sameReasons(conditions ?? [], before?.conditions ?? [])) continue;
      this.#later(this.#putHost(repo, memory, record.key, record));
    }
  }

  async begin(repo: string, host: HostRecord, apps: ReadonlySet<AppKey>): Promise<void> {
    const memory = this.#memory(repo);
    this.#mustBeOpen();
    const notes: Promise<void>[] = [];
    const known = memory.hosts.get(host.key);
    for (const app of apps) {
      const log = memory.log(app);
      if (memory.noteAttempt(host, app)) {
        const status = { attempts: log.entries };
        log.durable = this.#options.writer.write(memory.app(app), status, { make: makeApp(memory, app), isNew: true });
      }
      notes.push(log.durable);
    }
    // Of a host that is not stored with all of these apps, the record itself is the note.
    const stored = known !== undefined && [...apps].every((app) => known.covered.has(app));
    if (!stored) notes.push(this.#putHost(repo, memory, host.key, host));
    await this.#patience.wait(notes);
  }

  async remove(repo: string): Promise<void> {
    const { writer } = this.#options;
    const { ref, object } = this.#memory(repo);
    this.#repos.set(repo, new RepoMemory(ref));
    await Promise.all([
      writer.removeAll("ConfigApp", ref.namespace, repoSelector(ref.name)),
      writer.removeAll("ConfigHost", ref.namespace, repoSelector(ref.name)),
      writer.write(object, { revision: null, problems: null }),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#repos.clear();
  }

  #mustBeOpen(): void {
    if (!this.#options.writer.open) throw notLeading();
  }

  #memory(repo: string): RepoMemory {
    const memory = this.#repos.get(repo);
    if (!memory) throw new FssyncError("UnknownName", `no ConfigRepo is registered as ${repo}`);
    return memory;
  }

  #putRepo(memory: RepoMemory, { revision, problems }: RepoRecord): Promise<void> {
    memory.revision = revision;
    const stored = problems.map(({ reason, message, since }) => ({ reason, message, since: timeText(since) }));
    return this.#options.writer.write(memory.object, { revision, problems: stored });
  }

  #putApp(memory: RepoMemory, key: AppKey, app: DesiredRecord | null): Promise<void> {
    const { writer } = this.#options;
    const ref = memory.app(key);
    if (app === null) {
      memory.dropApp(key);
      return writer.remove(ref);
    }
    memory.desired.set(key, app);
    return writer.write(ref, appStatus(app), { make: makeApp(memory, key), isNew: true });
  }

  #putHost(repo: string, memory: RepoMemory, key: HostKey, record: HostRecord | null): Promise<void> {
    if (record === null) return this.#dropHost(repo, memory, key);
    const isKnown = memory.hosts.has(key);
    const host = memory.cover(record);
    const status = this.#statusOf(repo, memory, record, host);
    host.conditions = status.conditions ?? [];
    host.state = status.state ?? undefined;
    const wanted = hostSpec(record);
    // An object that was here before the record may say otherwise.
    const spec = isKnown && isDeepStrictEqual(host.spec, wanted) ? {} : { spec: wanted };
    host.spec = wanted;
    return this.#options.writer.write(memory.host(record), status, {
      make: makeHost(memory, record),
      isNew: true,
      ...spec,
    });
  }

  #statusOf(repo: string, { revision, desired }: RepoMemory, record: HostRecord, host: HostMemory) {
    const { clock, suspended } = this.#options;
    const { covered, conditions } = host;
    const isSuspended = (app: AppKey) => suspended(repo, app, record.key);
    return hostStatus({ record, revision, desired, covered, conditions, suspended: isSuspended, now: clock.now() });
  }

  async #dropHost(repo: string, memory: RepoMemory, key: HostKey): Promise<void> {
    const { writer, keeps } = this.#options;
    memory.hosts.delete(key);
    const host = parseHostText(key);
    if (!host) return;
    const ref = memory.host({ port: DEFAULT_PORT, ...host });
    if (keeps?.(repo, key)) await writer.write(ref, NO_RECORD);
    else await writer.remove(ref);
  }

  /** The writer tries for ever; what it never will write is told to whoever ended it. */
  #later(write: Promise<void>): void {
    write.catch((err: unknown) => this.#options.log.debug({ err }, "status not written"));
  }

  /** One object that cannot be written holds nobody up: not what is refused, and the rest not for long. */
  async #flush(ref: RepoRef): Promise<void> {
    const { writer, clock } = this.#options;
    const tooLate = new AbortController();
    using _ = clock.after(LOAD_WAITS, () => tooLate.abort());
    await writer.flush(tooLate.signal, (task) => concerns(task, ref));
  }

  async #hasAnything(ref: RepoRef): Promise<boolean> {
    await this.#flush(ref);
    const selector = repoSelector(ref.name);
    if (await this.#api.any("ConfigHost", ref.namespace, selector)) return true;
    if (await this.#api.any("ConfigApp", ref.namespace, selector)) return true;
    const { revision, problems } = await readRepo(this.#api, ref);
    return revision !== null || problems.length > 0;
  }
}

function sameReasons(a: readonly Condition[], b: readonly Condition[]): boolean {
  const text = (conditions: readonly Condition[]) => conditions.map(({ type, reason }) => `${type} ${reason}`).join();
  return text(a) === text(b);
}

function concerns(task: ObjectLane | Removal, repo: RepoRef): boolean {
  if (task instanceof Removal) return task.isOf(repo.namespace, repoSelector(repo.name));
  const { ref, make } = task;
  if (ref.namespace !== repo.namespace) return false;
  if (ref.kind === "ConfigRepo") return ref.name === repo.name;
  if (make === undefined) return ref.name.startsWith(`${repo.name}.`);
  return make().metadata?.labels?.[REPO_LABEL] === repoLabel(repo.name);
}
