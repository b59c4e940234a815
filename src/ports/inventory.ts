import type { AppId, AppKey } from "../model/app.ts";
import type { Reason } from "../model/errors.ts";
import type { Host } from "../model/host.ts";
import type { HostRecord } from "../model/record.ts";

/** Which hosts run an app. */
export interface Inventory extends AsyncDisposable {
  /**
   * Asks for the hosts of these apps. It never throws for a CMDB's fault: an app whose query failed
   * keeps its last good hosts, also across a restart, and the fault is among `problems`.
   */
  refresh(apps: readonly AppId[], signal: AbortSignal): Promise<InventoryAnswer>;
  /** The last good answer of an earlier run; null when there is none. Asks nobody. */
  lastGood(apps: readonly AppId[]): Promise<InventoryAnswer | null>;
  /**
   * What the status store knows of hosts is the last good answer for a process that has none of its own
   * (its data dir is new). Of a host that the inventory has described since, the inventory's user and root
   * hold. Hosts whose login is not known only count for what an answer has lost.
   */
  adopt(stored: Iterable<HostRecord>): void;
  /** Calls back when an answer may have changed before the interval is over (a file was written). */
  watch?(changed: () => void): Disposable;
}

export interface InventoryAnswer {
  /** Hosts of each app asked for, each host once, sorted by key. Only valid hosts. An app that nobody ever answered for is left out. */
  readonly hosts: ReadonlyMap<AppKey, readonly Host[]>;
  readonly problems: readonly InventoryProblem[];
}

export interface InventoryProblem {
  readonly reason: Extract<Reason, "InventoryFailed" | "InventorySuspicious" | "InvalidHost" | "SecretInvalid">;
  /** The app concerned; null when it is the whole query. */
  readonly app: AppKey | null;
  readonly message: string;
}
