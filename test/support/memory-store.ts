import type { AppKey } from "../../src/model/app.ts";
import type { HostKey } from "../../src/model/host.ts";
import type { DesiredRecord, HostRecord, RepoRecord } from "../../src/model/record.ts";
import type { RepoStatus, StatusChange, StatusStore } from "../../src/ports/status-store.ts";

interface Held {
  repo: RepoRecord;
  apps: Map<AppKey, DesiredRecord>;
  hosts: Map<HostKey, HostRecord>;
}

/** A status store that forgets everything with the process. Set `nextSaveError` to make one save fail. */
export class MemoryStatusStore implements StatusStore {
  nextSaveError: Error | null = null;
  saves = 0;
  readonly #repos = new Map<string, Held>();

  async load(repo: string): Promise<RepoStatus> {
    return structuredClone(this.#repos.get(repo) ?? nothing());
  }

  async repos(): Promise<string[]> {
    return [...this.#repos.keys()].sort();
  }

  async save(repo: string, change: StatusChange): Promise<void> {
    this.saves += 1;
    if (this.nextSaveError !== null) {
      const error = this.nextSaveError;
      this.nextSaveError = null;
      throw error;
    }
    const held = this.#repos.get(repo) ?? nothing();
    if (change.repo !== undefined) held.repo = structuredClone(change.repo);
    putAll(held.apps, change.apps);
    putAll(held.hosts, change.hosts);
    this.#repos.set(repo, held);
  }

  async begin(repo: string, host: HostRecord): Promise<void> {
    await this.save(repo, { hosts: new Map([[host.key, host]]) });
  }

  async remove(repo: string): Promise<void> {
    this.#repos.delete(repo);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function nothing(): Held {
  return { repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() };
}

function putAll<K, V>(into: Map<K, V>, change: ReadonlyMap<K, V | null> | undefined): void {
  for (const [key, value] of change ?? []) {
    if (value === null) into.delete(key);
    else into.set(key, structuredClone(value));
  }
}
