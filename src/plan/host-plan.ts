import type { AppKey } from "../model/app.ts";
import type { DesiredApp, Digest, FileEntry, Refusal } from "../model/manifest.ts";
import { comparePaths, parentFolders } from "../model/path.ts";
import { shortRevision, type Revision } from "../model/revision.ts";
import { changeBetween, deletesAllowed, takenOver, type Base, type Change, type Replaced } from "./change.ts";
import { pathConflicts } from "./conflicts.ts";

/** One app that a host shall be brought to. */
export interface Lagging {
  readonly desired: DesiredApp;
  /** What the store says the host has. */
  readonly recorded: { readonly digest: Digest; readonly revision: Revision } | null;
  /** The files of what the store says; null when there is no record, or its commit is lost. */
  readonly base: Base | null;
  /** The files of syncs that were begun and not finished; null for one whose commit is lost. */
  readonly unfinished: readonly (Base | null)[];
  /** The files of syncs that may have been begun; see `AppRecord.suspected`. */
  readonly suspected?: readonly (Base | null)[];
  /** Send everything, whatever the record says. */
  readonly full: boolean;
  /** Delete however much it is. */
  readonly allowPrune: boolean;
}

export interface PruneOptions {
  readonly prune: boolean;
  readonly maxDeletePercent: number;
}

export interface AppPlan {
  readonly app: AppKey;
  readonly base: Digest | null;
  readonly desired: DesiredApp;
  /** `send`: files travel; `record`: the host has it already; `hold`: nothing of the app is sent. */
  readonly action: "send" | "record" | "hold";
  readonly send: readonly FileEntry[];
  readonly delete: readonly string[];
  /** Of what is sent and deleted, what lies there already by the record. */
  readonly replaces: readonly Replaced[];
  /** One line for people. */
  readonly why: string;
  /** Why it is held. */
  readonly refusal?: Refusal;
  /** What it would do if it were not held, where that is known. For people: nothing of it may be sent. */
  readonly held?: Pick<Change, "send" | "delete">;
}

export interface HostPlan {
  readonly apps: readonly AppPlan[];
  /** See `HostChange.emptyFolders`. */
  readonly emptyFolders: readonly string[];
}

/**
 * What one host needs, and every host that has the same apps and lags in the same way.
 * `apps` are all apps that the inventory puts on the host, lagging or not: they protect their paths.
 * The plan names the lagging apps and those that do not lag but are in conflict with another one.
 */
export function planHost(apps: readonly DesiredApp[], lagging: readonly Lagging[], options: PruneOptions): HostPlan {
  const conflicts = pathConflicts(apps);
  const claims = new Claims(apps, new Set(lagging.map(({ desired }) => desired.key)));
  const plans = lagging
    .map((one) => planApp(one, conflicts.get(one.desired.key), claims, options))
    .map((plan) => withTakenOver(plan, lagging));
  const settled = apps.filter(({ key }) => conflicts.has(key) && !plans.some(({ app }) => app === key));
  const disputed = settled.map((desired) =>
    hold(desired, desired.digest, conflictRefusal(conflicts.get(desired.key)!)),
  );
  return { apps: [...plans, ...disputed], emptyFolders: emptiedFolders(plans, claims) };
}

function planApp(one: Lagging, conflict: string | undefined, claims: Claims, options: PruneOptions): AppPlan {
  const { desired, recorded, base, unfinished, suspected = [], full } = one;
  const from = recorded?.digest ?? null;
  if (desired.refused) return hold(desired, from, desired.refused);
  if (conflict !== undefined) return hold(desired, from, conflictRefusal(conflict));
  const between = changeBetween({ recorded: from, base, unfinished, suspected, desired, full });
  const change = { ...between, delete: options.prune ? claims.unclaimed(between.delete) : [] };
  const tooMany = one.allowPrune ? undefined : pruneRefusal(change, desired, options.maxDeletePercent);
  if (tooMany) return { ...hold(desired, from, tooMany), held: { send: change.send, delete: change.delete } };
  const action = change.send.length + change.delete.length > 0 ? "send" : "record";
  const { send, delete: gone } = change;
  const touched = new Set([...send.map(({ path }) => path), ...gone]);
  const replaces = change.replaces.filter(({ path }) => touched.has(path));
  const why = explain(one, change);
  return { app: desired.key, base: base ? from : null, desired, action, send, delete: gone, replaces, why };
}

/** A file that moves here from another app in the same change lies there already, as that app put it. */
function withTakenOver(plan: AppPlan, lagging: readonly Lagging[]): AppPlan {
  const givers = lagging.filter(({ desired, base }) => desired.key !== plan.app && base !== null);
  if (givers.length === 0 || plan.send.length === 0) return plan;
  const own = new Set(plan.replaces.map(({ path }) => path));
  const fresh = plan.send.filter(({ path }) => !own.has(path));
  return { ...plan, replaces: [...plan.replaces, ...(fresh.length > 0 ? takenOver(fresh, givers) : [])] };
}

function hold(desired: DesiredApp, base: Digest | null, refusal: Refusal): AppPlan {
  const why = `held: ${refusal.message}`;
  return { app: desired.key, base, desired, action: "hold", send: [], delete: [], replaces: [], why, refusal };
}

function conflictRefusal(message: string): Refusal {
  return { reason: "PathConflict", message };
}

function pruneRefusal(change: Change, desired: DesiredApp, percent: number): Refusal | undefined {
  const deletes = change.delete.length;
  if (deletes === 0) return undefined;
  const everything = desired.manifest.length === 0 && percent < 100;
  const allowed = everything ? 0 : deletesAllowed(change.baseFiles, percent);
  if (deletes <= allowed) return undefined;
  return {
    reason: "PruneLimitExceeded",
    message: `deletes ${deletes} of ${change.baseFiles} files, sync.maxDeletePercent ${percent} allows ${allowed}`,
  };
}

function explain({ desired, recorded, base, unfinished, suspected = [], full }: Lagging, change: Change): string {
  const files = `${change.send.length} of ${desired.manifest.length} files`;
  const deletes = change.delete.length > 0 ? ` and deletes ${change.delete.length}` : "";
  if (unfinished.length + suspected.length > 0) return `an earlier sync did not finish: sends ${files}${deletes}`;
  if (!recorded) return `new here: nothing was synced yet, sends all ${files}`;
  const from = shortRevision(recorded.revision);
  if (!base) return `its base ${from} is lost: sends all ${files}, deletes nothing`;
  if (desired.retired) return `gone from Git since ${from}:${deletes.slice(4)}`;
  if (full) return `full sync asked for: sends all ${files}${deletes}`;
  if (base.digest !== recorded.digest) return `default ownership changed since ${from}: sends all ${files}${deletes}`;
  if (change.send.length + change.delete.length === 0) return `same files as ${from}: recorded, nothing is sent`;
  return `behind: has ${from}, sends ${files}${deletes}`;
}

/** Folders that held a deleted file and in which no app has any file left, deepest first. */
function emptiedFolders(plans: readonly AppPlan[], claims: Claims): string[] {
  const folders = new Set<string>();
  for (const plan of plans) {
    for (const path of plan.delete) {
      for (const folder of parentFolders(path)) if (!claims.isFolder(folder)) folders.add(folder);
    }
  }
  return [...folders].sort((a, b) => comparePaths(b, a));
}

/** The paths that the apps of one host want there. */
class Claims {
  readonly #paths = new Set<string>();
  readonly #folders = new Set<string>();
  /** Paths and folders of apps that are not sent now: what they name is on the host already. */
  readonly #settledPaths = new Set<string>();
  readonly #settledFolders = new Set<string>();

  constructor(apps: readonly DesiredApp[], moving: ReadonlySet<AppKey>) {
    for (const { key, manifest } of apps) {
      for (const { path } of manifest) {
        const parents = parentFolders(path);
        this.#paths.add(path);
        for (const folder of parents) this.#folders.add(folder);
        if (moving.has(key)) continue;
        this.#settledPaths.add(path);
        for (const folder of parents) this.#settledFolders.add(folder);
      }
    }
  }

  isFolder(path: string): boolean {
    return this.#folders.has(path);
  }

  /** The paths that may be deleted: nobody wants them, nor stands where they once were. */
  unclaimed(paths: readonly string[]): readonly string[] {
    return paths.filter(
      (path) =>
        !this.#paths.has(path) &&
        !this.#settledFolders.has(path) &&
        !parentFolders(path).some((folder) => this.#settledPaths.has(folder)),
    );
  }
}
