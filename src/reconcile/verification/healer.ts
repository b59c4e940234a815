import type { AppKey } from "../../model/app.ts";
import type { ReplacedFile } from "../../model/drift.ts";
import { asFssyncError, FssyncError } from "../../model/errors.ts";
import type { FoundDrift } from "../../plan/drift.ts";
import type { Clock } from "../../ports/clock.ts";
import type { GitSource } from "../../ports/git-source.ts";
import type { AppChange, Applied, FoundReplaced, Transport } from "../../ports/transport.ts";
import type { DriftOptions } from "../drift-options.ts";
import { keptOnly } from "../drift-record.ts";
import type { FleetHost } from "../fleet.ts";

export interface HealerOptions {
  readonly source: GitSource;
  readonly transport: Transport;
  readonly drift: Pick<DriftOptions, "keepVersions">;
  /** Wall clock for one host, milliseconds. */
  readonly timeout: number;
  readonly clock: Clock;
}

export interface Healed {
  /** Files that something was laid over: all that had drifted. When the app failed, those of which a version is kept. */
  readonly healed: ReadonlyMap<AppKey, readonly ReplacedFile[]>;
  /** Why it did not work, by app. */
  readonly errors: ReadonlyMap<AppKey, FssyncError>;
}

/** Lays what Git has over files that somebody else changed: these files and no others. */
export class Healer {
  readonly #options: HealerOptions;

  constructor(options: HealerOptions) {
    this.#options = options;
  }

  async heal(
    { host }: FleetHost,
    drifted: ReadonlyMap<AppKey, readonly FoundDrift[]>,
    signal: AbortSignal,
  ): Promise<Healed> {
    const { source, transport, timeout, clock, drift } = this.#options;
    let applied: Applied;
    try {
      await source.materialize(new Set([...drifted.values()].flat().map(({ entry }) => entry.tree)));
      const apps = await this.#changes(drifted);
      const change = { snapshotRoot: source.snapshotRoot, apps, emptyFolders: [], keepVersions: drift.keepVersions };
      await using prepared = await transport.prepare(change);
      applied = await transport.apply(host, prepared, { timeout, signal });
    } catch (thrown) {
      const error = asFssyncError(thrown, "SourceUnavailable");
      return { healed: new Map(), errors: new Map([...drifted.keys()].map((app) => [app, error])) };
    }
    const healed = new Map<AppKey, ReplacedFile[]>();
    const errors = new Map<AppKey, FssyncError>();
    for (const [app, files] of drifted) {
      const outcome = applied.outcome.get(app);
      const silent = () => new FssyncError("Internal", `the transport says nothing about ${app}`);
      const error = outcome === undefined ? silent() : outcome;
      if (error) errors.set(app, error);
      const found = applied.replaced.get(app) ?? [];
      const laid = replacedFiles(files, found, clock.now());
      const told = error ? keptOnly(laid) : laid;
      if (told.length > 0) healed.set(app, told);
    }
    return { healed, errors };
  }

  async #changes(drifted: ReadonlyMap<AppKey, readonly FoundDrift[]>): Promise<AppChange[]> {
    const { source } = this.#options;
    const blobs = new Set([...drifted.values()].flat().map(({ entry }) => entry.blob));
    const checksums = await source.checksums(blobs);
    const sizes = await source.sizes(blobs);
    return [...drifted].map(([app, files]) => ({
      app,
      send: files.map(({ entry }) => entry),
      delete: [],
      // What was missing too: somebody may have put it there since.
      replaces: files.map(({ entry: { path, blob } }) => ({
        path,
        checksums: [checksums.get(blob)!],
        maxSize: sizes.get(blob)!,
      })),
    }));
  }
}

function replacedFiles(files: readonly FoundDrift[], found: readonly FoundReplaced[], at: number): ReplacedFile[] {
  const keptAt = new Map(found.map(({ path, kept }) => [path, kept]));
  return files.map(({ entry: { path }, change }) => {
    const kept = keptAt.get(path);
    return { path, change, at, ...(kept === undefined ? {} : { kept }) };
  });
}
