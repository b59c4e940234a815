import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { AppRecord, HostRecord } from "../model/record.ts";

type Stored = HostRecord & { readonly apps: Map<AppKey, AppRecord> };

/** What the store held of hosts at the start, less what the inventory has named since. */
export class StoredHosts {
  readonly #hosts = new Map<HostKey, Stored>();

  constructor(hosts: Iterable<HostRecord>) {
    for (const host of hosts) this.#hosts.set(host.key, { ...host, apps: new Map(host.apps) });
  }

  keys(): Iterable<HostKey> {
    return this.#hosts.keys();
  }

  values(): Iterable<HostRecord> {
    return this.#hosts.values();
  }

  get(key: HostKey): HostRecord | undefined {
    return this.#hosts.get(key);
  }

  /** What there is of the app on the host, if it was under the same root. It has no further say. */
  take(key: HostKey, app: AppKey, root?: string): AppRecord | undefined {
    const stored = this.#hosts.get(key);
    const record = stored?.root === root ? stored?.apps.get(app) : undefined;
    stored?.apps.delete(app);
    if (stored?.apps.size === 0) this.#hosts.delete(key);
    return record;
  }
}
