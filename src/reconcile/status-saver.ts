import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { StatusStore } from "../ports/status-store.ts";
import { desiredRecord } from "./desired-apps.ts";
import type { Fleet } from "./fleet.ts";
import type { Problems } from "./problems.ts";

export interface StatusSaverOptions {
  readonly repo: string;
  readonly fleet: Fleet;
  readonly problems: Problems;
  readonly store: StatusStore;
  readonly log: Logger;
}

/** Names what memory has and the store does not. */
interface News {
  readonly repo: boolean;
  readonly apps: ReadonlySet<AppKey>;
  readonly hosts: ReadonlySet<HostKey>;
}

const NOTHING: News = { repo: false, apps: new Set(), hosts: new Set() };

/**
 * Stores news of Git and inventory. Only names are kept, so that what the store refused goes out with
 * the next news as it is then; a sync's outcome takes its own way (see HostReconciler).
 */
export class StatusSaver {
  readonly #options: StatusSaverOptions;
  #unsaved = NOTHING;

  constructor(options: StatusSaverOptions) {
    this.#options = options;
  }

  /** Does not reject: memory has the news, and tries again with the next call. */
  async save(news: Partial<{ repo: boolean; apps: Iterable<AppKey>; hosts: Iterable<HostKey> }> = {}): Promise<void> {
    const all = united(this.#unsaved, { repo: false, ...news, apps: new Set(news.apps), hosts: new Set(news.hosts) });
    if (!all.repo && all.apps.size + all.hosts.size === 0) return;
    this.#unsaved = NOTHING;
    const { fleet, problems, store, repo, log } = this.#options;
    const desired = (key: AppKey) => fleet.desired.get(key);
    try {
      await store.save(repo, {
        ...(all.repo && { repo: { revision: fleet.revision, problems: problems.all } }),
        apps: new Map(Array.from(all.apps, (key) => [key, desired(key) ? desiredRecord(desired(key)!) : null])),
        hosts: new Map(Array.from(all.hosts, (key) => [key, fleet.recordOf(key)])),
      });
    } catch (err) {
      this.#unsaved = united(all, this.#unsaved);
      log.error({ err }, "status not stored, tried again with the next poll");
    }
  }
}

function united(a: News, b: News): News {
  return { repo: a.repo || b.repo, apps: a.apps.union(b.apps), hosts: a.hosts.union(b.hosts) };
}
