import { appId, type AppKey } from "../model/app.ts";
import type { DesiredApp } from "../model/manifest.ts";
import type { DesiredRecord } from "../model/record.ts";
import type { Revision } from "../model/revision.ts";
import type { Clock } from "../ports/clock.ts";
import type { Discovery } from "../ports/git-source.ts";
import type { RepoStatus } from "../ports/status-store.ts";

/** A desired app and since when: `revision` is the one at which its digest was first seen. */
export interface FleetApp extends DesiredApp {
  readonly seenAt: number;
}

export interface DesiredChange {
  /** Apps that came or went, or whose digest or refusal changed. */
  readonly changed: ReadonlySet<AppKey>;
  readonly toStore: ReadonlyMap<AppKey, DesiredRecord | null>;
}

/** Digest of an app that Git no longer holds: no host ever has it, so every host with a record lags. */
const RETIRED_DIGEST = "0".repeat(64);

/** What Git wants of one repo and, until Git was read, what the store knew of it at the start. */
export class DesiredApps {
  readonly #clock: Clock;
  #revision: Revision | null;
  #apps: ReadonlyMap<AppKey, FleetApp> = new Map();
  readonly #stored: Map<AppKey, DesiredRecord>;

  constructor(stored: Pick<RepoStatus, "repo" | "apps">, clock: Clock) {
    this.#clock = clock;
    this.#revision = stored.repo.revision;
    this.#stored = new Map(stored.apps);
  }

  get revision(): Revision | null {
    return this.#revision;
  }

  get apps(): ReadonlyMap<AppKey, FleetApp> {
    return this.#apps;
  }

  /** The same before Git was read for the first time: as the store knew it. */
  get known(): ReadonlyMap<AppKey, FleetApp | DesiredRecord> {
    return this.#stored.size > 0 ? this.#stored : this.#apps;
  }

  /** Whether what Git holds was read; until then an app that is not in `apps` may be there all the same. */
  get wasRead(): boolean {
    return this.#apps.size > 0 || (this.#revision !== null && this.#stored.size === 0);
  }

  /** As the store shall have them. */
  get records(): ReadonlyMap<AppKey, DesiredRecord> {
    return new Map([...this.#stored, ...[...this.#apps.values()].map((app) => [app.key, desiredRecord(app)] as const)]);
  }

  /** Takes the apps of a commit in, and the apps `retired` that it does not hold but hosts still have. */
  take({ apps, revision }: Pick<Discovery, "apps" | "revision">, retired: Iterable<AppKey>): DesiredChange {
    this.#revision = revision;
    const now = this.#clock.now();
    const next = new Map<AppKey, FleetApp>();
    const changed = new Set<AppKey>();
    const toStore = new Map<AppKey, DesiredRecord | null>();
    const gone = [...retired].map((key) => retiredApp(key, revision));
    for (const app of [...apps.values(), ...gone]) {
      const before = this.#apps.get(app.key);
      const known = before ?? this.#stored.get(app.key);
      const same = known?.digest === app.digest;
      const current = { ...app, revision: same ? known.revision : revision, seenAt: same ? known.seenAt : now };
      next.set(app.key, current);
      // Attributes above the app can refuse it, and admit it again, without a change of its digest.
      const judged = known?.refused?.message !== app.refused?.message;
      if (before?.digest !== app.digest || judged) changed.add(app.key);
      if (!same || judged) toStore.set(app.key, desiredRecord(current));
    }
    for (const key of [...this.#apps.keys(), ...this.#stored.keys()]) {
      if (next.has(key)) continue;
      changed.add(key);
      toStore.set(key, null);
    }
    this.#stored.clear();
    this.#apps = next;
    return { changed, toStore };
  }

  /** Forgets apps that Git no longer holds. */
  drop(apps: Iterable<AppKey>): void {
    const next = new Map(this.#apps);
    for (const app of apps) next.delete(app);
    this.#apps = next;
  }
}

export function desiredRecord({ key, digest, revision, seenAt, refused }: FleetApp): DesiredRecord {
  return { key, digest, revision, seenAt, refused: refused ?? null };
}

function retiredApp(key: AppKey, revision: Revision): DesiredApp {
  const nothing = { tree: "", overlay: null, manifest: [] } as const;
  return { ...appId(key), ...nothing, key, digest: RETIRED_DIGEST, revision, retired: true };
}
