import type { AppKey } from "../../model/app.ts";
import type { ReplacedFile } from "../../model/drift.ts";
import { asFssyncError, type FssyncError } from "../../model/errors.ts";
import type { FoundDrift } from "../../plan/drift.ts";
import type { Clock } from "../../ports/clock.ts";
import type { GitSource } from "../../ports/git-source.ts";
import type { AppChange, Applied, Transport } from "../../ports/transport.ts";
import type { DriftOptions } from "../drift-options.ts";
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
      const error = applied.outcome.get(app);
      if (error) errors.set(app, error);
      if (error !== null) continue;
      const kept = new Map(applied.replaced.get(app)?.map((found) => [found.path, found.kept]));
      healed.set(
        app,
        files.map(({ entry: { path }, change }) => {
          const at = clock.now();
          const copy = kept.get(path);
          return { path, change, at, ...(copy === undefined ? {} : { kept: copy }) };
        }),
      );
    }
    return { healed, errors };
  }

  async #changes(drifted: ReadonlyMap<AppKey, readonly FoundDrift[]>): Promise<AppChange[]> {
    const blobs = [...drifted.values()].flat().map(({ entry }) => entry.blob);
    const checksums = await this.#options.source.checksums(new Set(blobs));
    return [...drifted].map(([app, files]) => ({
      app,
      send: files.map(({ entry }) => entry),
      delete: [],
      replaces: files
        .filter(({ fact }) => fact.kind !== "missing")
        .map(({ entry: { path, blob } }) => ({ path, checksums: [checksums.get(blob)!] })),
    }));
  }
}
