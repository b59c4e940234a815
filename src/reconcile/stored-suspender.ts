import type { AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Suspender, SuspendedTarget, SuspendRequest, SuspendTarget, SuspensionStore } from "../ports/suspender.ts";
import type { Controller } from "./controller.ts";
import type { Suspended } from "./suspension.ts";

/** What was suspended when the program began. */
export interface KnownSuspensions {
  /** Repos whose `spec.suspend` says so in the configuration file. */
  readonly configured: ReadonlySet<string>;
  readonly stored: readonly SuspendedTarget[];
}

export interface StoredSuspenderOptions extends KnownSuspensions {
  readonly controller: Controller;
  readonly store: SuspensionStore;
  readonly clock: Clock;
}

/** Keeps what people suspend over HTTP in the status store of a process that is alone. */
export class StoredSuspender implements Suspender {
  readonly #options: StoredSuspenderOptions;
  /** What the store holds, by `keyOf`. */
  readonly #stored: Map<string, SuspendedTarget>;

  constructor(options: StoredSuspenderOptions) {
    this.#options = options;
    this.#stored = new Map(options.stored.map((suspended) => [keyOf(suspended), suspended]));
  }

  async set(target: SuspendTarget, { suspend, by, reason }: SuspendRequest): Promise<void> {
    const { controller, configured, store, clock } = this.#options;
    const { repo } = target;
    const key = keyOf(target);
    if (suspend) {
      const suspended = { ...target, by, reason, since: this.#stored.get(key)?.since ?? clock.now() };
      await store.putSuspension(suspended);
      this.#stored.set(key, suspended);
    } else {
      if (isRepo(target) && configured.has(repo)) throw suspendedByFile(repo);
      await store.dropSuspension(target);
      this.#stored.delete(key);
    }
    const ofRepo = [...this.#stored.values()].filter((one) => one.repo === repo);
    controller.repo(repo)?.suspend(suspendedBy(repo, ofRepo, configured.has(repo)));
  }

  async list(): Promise<readonly SuspendedTarget[]> {
    const byFile = [...this.#options.configured].filter((repo) => !this.#stored.has(keyOf({ repo })));
    return [...byFile.map(byConfiguration), ...this.#stored.values()];
  }
}

/** All of it together: where work is stopped on the repo. */
export function suspendedBy(repo: string, stored: readonly SuspendedTarget[], configured: boolean): Suspended {
  return {
    repo: configured || stored.some(isRepo),
    said: configured && !stored.some(isRepo) ? [byConfiguration(repo), ...stored] : stored,
    apps: new Set(stored.flatMap(({ app }): AppKey[] => (app === undefined ? [] : [app]))),
    hosts: new Set(stored.flatMap(({ host }) => host ?? [])),
  };
}

function byConfiguration(repo: string): SuspendedTarget {
  return { repo, reason: "spec.suspend in the configuration file" };
}

function isRepo({ app, host }: SuspendTarget): boolean {
  return app === undefined && host === undefined;
}

function keyOf({ repo, app, host }: SuspendTarget): string {
  return JSON.stringify([repo, app ?? null, host ?? null]);
}

function suspendedByFile(repo: string): FssyncError {
  return new FssyncError(
    "SuspendedElsewhere",
    `repo ${repo} is suspended by spec.suspend: true of its ConfigRepo in the configuration file`,
  );
}
