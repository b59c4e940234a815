import type { Condition, ConfigHostSpec } from "../../config/resources.ts";
import { appId, type AppKey } from "../../model/app.ts";
import type { HostKey } from "../../model/host.ts";
import type { AppRecord, DesiredRecord, HostRecord } from "../../model/record.ts";
import type { Revision } from "../../model/revision.ts";
import type { State } from "../../model/state.ts";
import { configAppName, configHostName, type ObjectRef, type RepoRef } from "../objects.ts";
import { AttemptLog, UNKNOWN_DIGEST } from "./attempt-log.ts";
import { hostSpec } from "./make.ts";
import type { StoredHost } from "./parse-host.ts";

/** What the store must know of a host besides its record, to write the next one. */
export interface HostMemory {
  /** Up to which attempt the last record of each app tells all. */
  readonly covered: Map<AppKey, number>;
  /** Attempts begun since. */
  readonly begun: Map<AppKey, number>;
  /** As the object has it; see `hostSpec`. */
  spec: Pick<ConfigHostSpec, "root" | "user">;
  conditions: readonly Condition[];
  /** As it was written the last time; undefined when it was not yet. */
  state: State | undefined;
}

/** What the store must know of a repo to write its objects. Records themselves are not kept. */
export class RepoMemory {
  readonly ref: RepoRef;
  revision: Revision | null = null;
  readonly desired = new Map<AppKey, DesiredRecord>();
  readonly hosts = new Map<HostKey, HostMemory>();
  readonly #logs = new Map<AppKey, AttemptLog>();

  constructor(ref: RepoRef) {
    this.ref = ref;
  }

  get object(): ObjectRef {
    return { kind: "ConfigRepo", namespace: this.ref.namespace, name: this.ref.name };
  }

  app(key: AppKey): ObjectRef {
    return { kind: "ConfigApp", namespace: this.ref.namespace, name: configAppName(this.ref.name, appId(key)) };
  }

  host(host: Pick<HostRecord, "address" | "port">): ObjectRef {
    return { kind: "ConfigHost", namespace: this.ref.namespace, name: configHostName(this.ref.name, host) };
  }

  log(app: AppKey): AttemptLog {
    let log = this.#logs.get(app);
    if (!log) this.#logs.set(app, (log = new AttemptLog()));
    return log;
  }

  putLog(app: AppKey, log: AttemptLog): void {
    this.#logs.set(app, log);
  }

  /** A removed app begins anew. */
  dropApp(app: AppKey): void {
    this.desired.delete(app);
    this.#logs.delete(app);
  }

  /**
   * Notes that the newest unfinished revision of the app is about to be sent to the host; returns whether
   * the app's attempts must be written for that. The host must be known with this app.
   */
  noteAttempt(host: HostRecord, app: AppKey): boolean {
    const revision = host.apps.get(app)?.unfinished.at(-1);
    const memory = this.hosts.get(host.key);
    const covered = memory?.covered.get(app);
    if (revision === undefined || memory === undefined || covered === undefined) return false;
    const desired = this.desired.get(app);
    // What the host is sent may be older than what Git wants by now; then its digest is not known here.
    const digest = desired?.revision === revision ? desired.digest : UNKNOWN_DIGEST;
    const log = this.log(app);
    const changed = log.note({ revision, digest, covered });
    memory.begun.set(app, log.newest);
    return changed;
  }

  /**
   * Moves on what the host's record covers. A record without `suspected` names whatever may be on the
   * host: up to the attempts that began there, and to everything that was noted before this process.
   */
  cover(record: HostRecord): HostMemory {
    const memory: HostMemory = this.hosts.get(record.key) ?? {
      covered: new Map(),
      begun: new Map(),
      spec: hostSpec(record),
      conditions: [],
      state: undefined,
    };
    this.hosts.set(record.key, memory);
    for (const app of memory.covered.keys()) if (!record.apps.has(app)) forget(memory, app);
    for (const [app, { suspected = [] }] of record.apps) {
      const log = this.log(app);
      const covered = memory.covered.get(app);
      if (covered === undefined) memory.covered.set(app, log.newest);
      if (covered === undefined || suspected.length > 0) continue;
      memory.covered.set(app, Math.max(covered, memory.begun.get(app) ?? 0, log.loaded));
      memory.begun.delete(app);
    }
    return memory;
  }

  /** Takes in what was stored; returns the record with what is suspected of each app. */
  restore({ record, covered, conditions, state, spec }: StoredHost): HostRecord {
    this.hosts.set(record.key, { covered: new Map(covered), begun: new Map(), spec, conditions, state });
    const apps = new Map<AppKey, AppRecord>();
    for (const [key, app] of record.apps) {
      const suspected = this.log(key).suspected({ ...app, covered: covered.get(key) ?? 0 });
      apps.set(key, suspected.length > 0 ? { ...app, suspected } : app);
    }
    return { ...record, apps };
  }
}

function forget({ covered, begun }: HostMemory, app: AppKey): void {
  covered.delete(app);
  begun.delete(app);
}
