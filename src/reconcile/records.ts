import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { AppRecord } from "../model/record.ts";
import type { StatusStore } from "../ports/status-store.ts";
import type { Fleet } from "./fleet.ts";

export interface Changed {
  readonly apps: ReadonlySet<AppKey>;
  readonly undo: () => void;
}

/** Changes records of hosts in memory and in the store, or in neither. */
export class Records {
  readonly #parts: { readonly repo: string; readonly fleet: Fleet; readonly store: StatusStore };

  constructor(parts: { readonly repo: string; readonly fleet: Fleet; readonly store: StatusStore }) {
    this.#parts = parts;
  }

  /**
   * `change` gives the same record for one that stays, null for one that goes; `fallback` goes along with what
   * changes. Rejects when the store does not take it.
   */
  async put<App extends { readonly key: AppKey }>(
    key: HostKey,
    apps: Iterable<App>,
    change: (record: AppRecord, app: App) => AppRecord | null,
    fallback?: string | null,
  ): Promise<void> {
    const { fleet, store, repo } = this.#parts;
    await this.store(this.inMemory(key, apps, change, fallback), () =>
      store.save(repo, { hosts: new Map([[key, fleet.recordOf(key)]]) }),
    );
  }

  /** Changes the records in memory; undefined when none of them changed. */
  inMemory<App extends { readonly key: AppKey }>(
    key: HostKey,
    apps: Iterable<App>,
    change: (record: AppRecord, app: App) => AppRecord | null,
    fallback?: string | null,
  ): Changed | undefined {
    const { fleet } = this.#parts;
    const records = new Map<AppKey, AppRecord | null>();
    for (const app of apps) {
      const record = fleet.hosts.get(key)?.records.get(app.key);
      if (!record) continue;
      const next = change(record, app);
      if (next !== record) records.set(app.key, next);
    }
    if (records.size === 0) return undefined;
    return { apps: new Set(records.keys()), undo: fleet.put(key, records, fallback) };
  }

  /** What the store does not take, memory does not keep. */
  async store(changed: Changed | undefined, save: (apps: ReadonlySet<AppKey>) => Promise<void>): Promise<void> {
    if (!changed) return;
    try {
      await save(changed.apps);
    } catch (error) {
      changed.undo();
      throw error;
    }
  }
}
