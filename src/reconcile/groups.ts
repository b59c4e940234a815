import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { asFssyncError, type FssyncError } from "../model/errors.ts";
import { planHost, type AppPlan, type HostPlan, type Lagging, type PruneOptions } from "../plan/host-plan.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { KnownFile, PreparedChange, Transport } from "../ports/transport.ts";
import type { DesiredApp } from "../model/manifest.ts";
import type { DriftOptions } from "./drift-options.ts";

/** What all hosts with the same apps that lag in the same way share: planned once, prepared once. */
export interface Group {
  readonly plan: HostPlan;
  /** The files to bring; null when no app of the group has any. */
  readonly prepared: PreparedChange | null;
  /** Apps whose files could not be made ready. */
  readonly unready: ReadonlyMap<AppKey, FssyncError>;
  /** Apps whose earlier versions are lost: what somebody changed of them is laid over unseen. */
  readonly unguarded: ReadonlySet<AppKey>;
}

interface Entry {
  readonly trees: ReadonlySet<string>;
  readonly made: Promise<Group>;
  users: number;
}

export interface GroupsOptions {
  readonly source: GitSource;
  readonly transport: Transport;
  readonly prune: PruneOptions;
  readonly drift?: Pick<DriftOptions, "keepVersions">;
  readonly log?: Logger;
  /** How many groups that nobody uses now are kept ready. */
  readonly idleLimit?: number;
}

/** The groups in use, by what their hosts have in common. */
export class Groups implements AsyncDisposable {
  readonly #options: GroupsOptions;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  /** Something of them could not be made ready; gone with their last host. */
  readonly #givenUp = new Set<Entry>();

  constructor(options: GroupsOptions) {
    this.#options = options;
  }

  /** The group of a host with these apps, of which these lag. Dispose the lease when the host is done. */
  async enter(apps: readonly DesiredApp[], lagging: readonly Lagging[]): Promise<Group & AsyncDisposable> {
    const key = groupKey(apps, lagging);
    const entry = this.#entries.get(key) ?? this.#open(apps, lagging);
    entry.users += 1;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    try {
      const group = await entry.made;
      if (group.unready.size + group.unguarded.size > 0) this.#giveUp(key, entry);
      return { ...group, [Symbol.asyncDispose]: () => this.#leave(entry) };
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }

  /** The trees whose snapshots are in use. */
  trees(): Set<string> {
    const trees = new Set<string>();
    for (const entry of [...this.#entries.values(), ...this.#givenUp]) for (const tree of entry.trees) trees.add(tree);
    return trees;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const entries = [...this.#entries.values(), ...this.#givenUp];
    this.#entries.clear();
    this.#givenUp.clear();
    await Promise.all(entries.map(dispose));
  }

  #open(apps: readonly DesiredApp[], lagging: readonly Lagging[]): Entry {
    const plan = planHost(apps, lagging, this.#options.prune);
    return { trees: treesOf(plan.apps), made: this.#make(plan), users: 0 };
  }

  async #make(plan: HostPlan): Promise<Group> {
    const { source, transport } = this.#options;
    const sending = plan.apps.filter(({ action }) => action === "send");
    const unready = new Map<AppKey, FssyncError>();
    const ready: AppPlan[] = [];
    await Promise.all(
      sending.map(async (app) => {
        try {
          await source.materialize(treesOf([app]));
          ready.push(app);
        } catch (error) {
          unready.set(app.app, asFssyncError(error, "SourceUnavailable"));
        }
      }),
    );
    const unguarded = new Set<AppKey>();
    if (ready.length === 0) return { plan, prepared: null, unready, unguarded };
    const { emptyFolders } = plan;
    const apps = await Promise.all(
      ready.map(async (app) => {
        const known = await this.#known(app);
        if (!known) unguarded.add(app.app);
        return { ...app, replaces: known ?? [] };
      }),
    );
    const keepVersions = this.#options.drift?.keepVersions ?? 0;
    const prepared = await transport.prepare({ snapshotRoot: source.snapshotRoot, apps, emptyFolders, keepVersions });
    return { plan, prepared, unready, unguarded };
  }

  /**
   * What may lie where something else is laid; null when that is lost, which must not stop a sync. Throws what
   * may be over by the next attempt: nothing is laid over hand-made changes unseen for that.
   */
  async #known({ app, replaces }: AppPlan): Promise<KnownFile[] | null> {
    const { source, log } = this.#options;
    if (replaces.length === 0) return [];
    const wanted = new Set(replaces.flatMap(({ blobs }) => blobs));
    try {
      const checksums = await source.checksums(wanted);
      const sizes = await source.sizes(wanted);
      return replaces.map(({ path, blobs }) => ({
        path,
        checksums: blobs.map((blob) => checksums.get(blob)!),
        maxSize: Math.max(...blobs.map((blob) => sizes.get(blob)!)),
      }));
    } catch (err) {
      if (asFssyncError(err).reason !== "SourceUnavailable") throw err;
      log?.warn({ err, app }, "earlier versions are lost: what somebody changed on hosts is laid over unseen");
      return null;
    }
  }

  /** What failed once (a full disk, a damaged mirror) may work for the next host: it gets a group of its own. */
  #giveUp(key: string, entry: Entry): void {
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#givenUp.add(entry);
  }

  async #leave(entry: Entry): Promise<void> {
    entry.users -= 1;
    if (entry.users === 0 && this.#givenUp.delete(entry)) return dispose(entry);
    const idle = [...this.#entries].filter(([, { users }]) => users === 0);
    const surplus = idle.slice(0, Math.max(0, idle.length - (this.#options.idleLimit ?? 32)));
    for (const [key] of surplus) this.#entries.delete(key);
    await Promise.all(surplus.map(([, old]) => dispose(old)));
  }
}

async function dispose({ made }: Entry): Promise<void> {
  const group = await made.catch(() => undefined);
  await group?.prepared?.[Symbol.asyncDispose]();
}

function treesOf(apps: readonly AppPlan[]): Set<string> {
  return new Set(apps.flatMap(({ send }) => send.map(({ tree }) => tree)));
}

/** The same for all hosts that need the same. */
export function groupKey(apps: readonly DesiredApp[], lagging: readonly Lagging[]): string {
  const has = apps.map(({ key, digest, refused }) => `${key}@${digest} ${refused?.message ?? ""}`);
  const lags = lagging.map(({ desired, recorded, base, unfinished, suspected = [], full, allowPrune }) =>
    [
      desired.key,
      recorded?.digest,
      base ? "" : "lost",
      ...unfinished.map((begun) => begun?.digest ?? "lost"),
      ...suspected.map((maybe) => `maybe ${maybe?.digest ?? "lost"}`),
      full ? "full" : "",
      allowPrune ? "prune" : "",
    ].join(" "),
  );
  return [...has, "|", ...lags].join("\n");
}
