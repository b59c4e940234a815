import { type AppId, type AppKey, appKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import type { Host } from "../model/host.ts";
import type { HostRecord } from "../model/record.ts";
import type { Clock } from "../ports/clock.ts";
import type { Inventory, InventoryAnswer, InventoryProblem } from "../ports/inventory.ts";
import { Turns } from "../ports/turns.ts";
import { assignHosts } from "./assign.ts";
import { type HostsByApp, suspicions } from "./guard.ts";
import { type HostDefaults, type HostEntry, completeHost } from "./host-entry.ts";
import type { LastGood } from "./last-good.ts";
import type { QueryResult, Source } from "./source.ts";
import { uniteHosts } from "./unite.ts";

/** More refused hosts than this are counted, not named: a wrong expression refuses all of them. */
const NAMED_HOSTS = 100;

interface Settings {
  readonly source: Source;
  readonly lastGood: LastGood;
  readonly defaults: HostDefaults;
  readonly envAliases: Readonly<Record<string, string>>;
  readonly maxShrinkPercent: number;
  readonly clock: Clock;
}

/** What one round of queries gave, before anybody doubts it. */
interface Round {
  readonly fresh: Map<AppKey, readonly HostEntry[]>;
  readonly problems: InventoryProblem[];
  /** Apps whose hosts were lost or gained together. */
  readonly scopes: AppKey[][];
}

/** An inventory over any source: asks, validates, doubts what shrinks, and remembers what was good. */
export class GuardedInventory implements Inventory {
  readonly #settings: Settings;
  /**
   * What the status store says, for apps without a last good answer. Its user and port may be defaults
   * that the configuration gave in an earlier run.
   */
  readonly #adopted = new Map<AppKey, HostEntry[]>();
  readonly watch?: (changed: () => void) => Disposable;

  constructor(settings: Settings) {
    this.#settings = settings;
    const { source } = settings;
    if (source.watch !== undefined) this.watch = (changed) => source.watch!(changed);
  }

  async refresh(apps: readonly AppId[], signal: AbortSignal): Promise<InventoryAnswer> {
    const results = await this.#settings.source.ask(apps, signal);
    if (signal.aborted) throw new FssyncError("Interrupted", "the inventory was not asked to the end");
    // Each step is some ten milliseconds with 10,000 hosts.
    const turns = new Turns(this.#settings.clock);
    const round = this.#assign(results);
    await turns.pause();
    const earlier = await this.#remembered(apps);
    this.#hold(round, earlier);
    await turns.pause();
    await this.#settings.lastGood.remember(round.fresh, apps.map(appKey));
    await turns.pause();
    const answer = this.#answer(apps, new Map([...earlier, ...round.fresh]), round.problems);
    await turns.pause();
    return answer;
  }

  async lastGood(apps: readonly AppId[]): Promise<InventoryAnswer | null> {
    const remembered = await this.#remembered(apps);
    if (remembered.size === 0) return null;
    return this.#answer(apps, remembered, []);
  }

  adopt(stored: Iterable<HostRecord>): void {
    for (const { address, port, root, user, apps } of stored) {
      const entry = { address, port, root, ...(user === undefined ? {} : { user }) };
      for (const app of apps.keys()) {
        const known = this.#adopted.get(app);
        if (known) known.push(entry);
        else this.#adopted.set(app, [entry]);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#settings.source[Symbol.asyncDispose]();
  }

  #assign(results: readonly QueryResult[]): Round {
    const round: Round = { fresh: new Map(), problems: [], scopes: [] };
    const skipped = results.filter((result) => result.skipped);
    if (skipped.length > 0) round.problems.push(failure(skipped[0]!.entries as FssyncError, null));
    for (const { apps, whole, entries, skipped: unasked } of results) {
      if (unasked) continue;
      if (entries instanceof FssyncError) {
        const concerned = whole ? [null] : apps.map(appKey);
        round.problems.push(...concerned.map((app) => failure(entries, app)));
        continue;
      }
      const { envAliases, source } = this.#settings;
      const assigned = assignHosts({ apps, whole }, entries, { envAliases, strictKeys: source.strictKeys });
      const app = apps.length === 1 && !whole ? appKey(apps[0]!) : null;
      round.problems.push(...refusals(assigned.refused, app));
      for (const [key, hosts] of assigned.hosts) round.fresh.set(key, hosts);
      round.scopes.push(...(whole ? [apps.map(appKey)] : apps.map((id) => [appKey(id)])));
    }
    return round;
  }

  /** Takes out of the round what is not to be believed. */
  #hold({ fresh, problems, scopes }: Round, earlier: ReadonlyMap<AppKey, readonly HostEntry[]>): void {
    if (!this.#settings.source.guarded) return;
    const { maxShrinkPercent } = this.#settings;
    const known = new Map([...this.#keys(this.#adopted), ...this.#keys(earlier)].filter(([app]) => fresh.has(app)));
    for (const { apps, text } of suspicions(scopes, { earlier: known, now: this.#keys(fresh), maxShrinkPercent })) {
      for (const app of apps) fresh.delete(app);
      const app = apps.length === 1 ? apps[0]! : null;
      const message = `${app ?? `${apps.length} apps`}: ${text}; the hosts known before stay (maxShrinkPercent is ${maxShrinkPercent})`;
      problems.push({ reason: "InventorySuspicious", app, message });
    }
  }

  #keys(hosts: ReadonlyMap<AppKey, readonly HostEntry[]>): HostsByApp {
    const { defaults } = this.#settings;
    return new Map(
      [...hosts].map(([app, list]) => [app, new Set(list.map((host) => completeHost(host, defaults).key))]),
    );
  }

  async #remembered(apps: readonly AppId[]): Promise<Map<AppKey, readonly HostEntry[]>> {
    const remembered = new Map<AppKey, readonly HostEntry[]>();
    for (const app of apps.map(appKey)) {
      const adopted = this.#adopted.get(app);
      const complete = adopted?.every(({ user }) => user !== undefined);
      const hosts = (await this.#settings.lastGood.hosts(app)) ?? (complete ? adopted : undefined);
      if (hosts !== undefined) remembered.set(app, hosts);
    }
    return remembered;
  }

  #answer(
    apps: readonly AppId[],
    hosts: ReadonlyMap<AppKey, readonly HostEntry[]>,
    problems: readonly InventoryProblem[],
  ): InventoryAnswer {
    const complete = new Map<AppKey, Host[]>();
    const adopted = new Set<AppKey>();
    for (const app of apps.map(appKey)) {
      // An app that nobody ever answered for has unknown hosts, not none.
      const entries = hosts.get(app);
      if (!entries) continue;
      complete.set(
        app,
        entries.map((entry) => completeHost(entry, this.#settings.defaults)),
      );
      if (entries === this.#adopted.get(app)) adopted.add(app);
    }
    const united = uniteHosts(complete, adopted);
    return { hosts: united.hosts, problems: [...problems, ...united.problems] };
  }
}

function failure(error: FssyncError, app: AppKey | null): InventoryProblem {
  const reason = error.reason === "SecretInvalid" ? "SecretInvalid" : "InventoryFailed";
  return { reason, app, message: error.message };
}

function refusals(refused: readonly string[], app: AppKey | null): InventoryProblem[] {
  const named = refused.slice(0, NAMED_HOSTS);
  const rest = refused.length - named.length;
  const messages = rest > 0 ? [...named, `${rest} more hosts are not valid`] : named;
  return messages.map((message) => ({ reason: "InvalidHost", app, message }));
}
