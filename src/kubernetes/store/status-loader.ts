import type { Logger } from "pino";
import type { ConfigRepoStatus, ResourceKind } from "../../config/resources.ts";
import type { AppKey } from "../../model/app.ts";
import { REASONS, type Reason } from "../../model/errors.ts";
import type { HostKey } from "../../model/host.ts";
import type { HostRecord, Problem, RepoRecord } from "../../model/record.ts";
import type { RepoStatus } from "../../ports/status-store.ts";
import { apiError, isNotFound } from "../api-error.ts";
import type { ObjectRef, RepoRef, Resource } from "../objects.ts";
import { AttemptLog } from "./attempt-log.ts";
import { repoSelector } from "./labels.ts";
import type { Observed } from "./object-lane.ts";
import { overlaid, type Unwritten, type Waiting } from "./overlay.ts";
import { parseHost } from "./parse-host.ts";
import type { RepoMemory } from "./repo-memory.ts";
import type { ResourceApi } from "./resource-api.ts";
import type { StatusWriter } from "./status-writer.ts";
import { parseApp } from "./stored-app.ts";
import { textRevision, textTime } from "./text.ts";

export interface StatusLoaderOptions {
  readonly memory: RepoMemory;
  readonly api: ResourceApi;
  readonly writer: Pick<StatusWriter, "observed" | "remove">;
  /** What of the repo waits to be written: newer than what is read. */
  readonly unwritten: Unwritten;
  readonly log: Logger;
}

/** Entries named in the log. */
const NAMED = 3;
const NOTHING: RepoRecord = { revision: null, problems: [] };

/**
 * Reads what is stored of a repo, page by page. What belonged to a ConfigRepo of the same name before this
 * one is removed; an object that cannot be read is said by name and counts as never stored.
 */
export class StatusLoader {
  /** Where people have stopped work, below the repo itself. */
  readonly suspended = { apps: new Set<AppKey>(), hosts: new Set<HostKey>() };
  readonly #options: StatusLoaderOptions;
  /** One copy of each text: 100,000 records share a few digests, revisions and app names. */
  readonly #texts = new Map<string, string>();
  readonly #unwritten: ReadonlyMap<string, Waiting>;

  constructor(options: StatusLoaderOptions) {
    this.#options = options;
    const { waiting } = options.unwritten;
    this.#unwritten = new Map(waiting.map((each) => [`${each.ref.kind}/${each.ref.name}`, each]));
  }

  /** Fills the memory, which must be new. Throws ApiError when the API server cannot be read. */
  async load(): Promise<RepoStatus> {
    const { memory, api, writer } = this.#options;
    const own = this.#waiting(memory.object);
    const repo = await readRepo(api, memory.ref, (seen) => writer.observed(memory.object, seen), own);
    memory.revision = repo.revision;
    await this.#each("ConfigApp", (object) => {
      const { key, desired, attempts } = parseApp(object, memory.ref.name);
      memory.putLog(key, new AttemptLog(attempts));
      if (desired) memory.desired.set(key, desired);
      if (isSuspended(object)) this.suspended.apps.add(key);
    });
    const hosts = new Map<HostKey, HostRecord>();
    await this.#each("ConfigHost", (object, ref) => {
      const stored = parseHost(object, memory.ref.name, (text) => this.#intern(text));
      if (stored && stored.unreadable.length > 0) {
        const entries = stored.unreadable.slice(0, NAMED);
        this.#options.log.error({ ...ref, entries }, "a status names what is no app; that is passed over");
      }
      if (stored && isSuspended(object)) this.suspended.hosts.add(stored.record.key);
      if (stored) hosts.set(stored.record.key, memory.restore(stored));
      else if (!isSuspended(object)) this.#remove(ref);
    });
    return { repo, apps: new Map(memory.desired), hosts };
  }

  async #each(kind: ResourceKind, read: (object: Resource, ref: ObjectRef) => void): Promise<void> {
    const { memory, api, writer, unwritten, log } = this.#options;
    const { namespace, name: repo, uid } = memory.ref;
    const take = (object: Resource | undefined, ref: ObjectRef) => {
      if (object === undefined) return;
      const owner = ownerOf(object);
      if (owner !== undefined && owner.uid !== uid) return this.#remove(ref);
      try {
        read(object, ref);
      } catch (err) {
        log.error({ ...ref, err }, "a status cannot be read; it counts as never synced");
      }
    };
    const seen = new Set<string>();
    for await (const page of api.list(kind, namespace, repoSelector(repo))) {
      for (const object of page) {
        const { name = "", labels, resourceVersion, generation } = object.metadata ?? {};
        const ref = { kind, namespace, name };
        writer.observed(ref, { resourceVersion, generation, ours: ownerOf(object)?.uid === uid });
        seen.add(name);
        const waiting = this.#waiting(ref);
        const isGone = waiting === undefined && unwritten.removes(kind, namespace, labels);
        take(isGone ? undefined : overlaid(object, waiting), ref);
      }
    }
    for (const waiting of unwritten.waiting) {
      const { ref } = waiting;
      if (ref.kind === kind && !seen.has(ref.name)) take(overlaid(undefined, waiting), ref);
    }
  }

  #waiting({ kind, name }: ObjectRef): Waiting | undefined {
    return this.#unwritten.get(`${kind}/${name}`);
  }

  #remove(ref: ObjectRef): void {
    const { writer, log } = this.#options;
    writer.remove(ref).catch((err: unknown) => log.debug({ ...ref, err }, "not removed"));
  }

  #intern(text: string): string {
    const held = this.#texts.get(text);
    if (held !== undefined) return held;
    this.#texts.set(text, text);
    return text;
  }
}

/** What is stored on the ConfigRepo; nothing when it is gone, or another one has its name. */
export async function readRepo(
  api: ResourceApi,
  { namespace, name, uid }: RepoRef,
  seen: (observed: Observed) => void = () => {},
  waiting?: Waiting,
): Promise<RepoRecord> {
  try {
    const object = await api.get({ kind: "ConfigRepo", namespace, name });
    if (object.metadata?.uid !== uid) return NOTHING;
    seen(object.metadata);
    return repoRecord(overlaid(object, waiting)?.status ?? {});
  } catch (thrown) {
    const error = apiError(thrown);
    if (isNotFound(error) && error.reason !== "CrdMissing") return NOTHING;
    throw thrown;
  }
}

function repoRecord({ revision, problems = [] }: ConfigRepoStatus): RepoRecord {
  return { revision: textRevision(revision) ?? null, problems: problems.flatMap(problem) };
}

/** What is no problem of ours is passed over: the next poll says what is wrong. */
function problem({ reason, message, since }: NonNullable<ConfigRepoStatus["problems"]>[number]): Problem[] {
  if (!Object.hasOwn(REASONS, reason)) return [];
  return [{ reason: reason as Reason, message, since: textTime(since) }];
}

function ownerOf({ metadata }: Resource) {
  return metadata?.ownerReferences?.find((each) => each.kind === "ConfigRepo");
}

function isSuspended({ spec }: Resource): boolean {
  return (spec as { suspend?: unknown } | undefined)?.suspend === true;
}
