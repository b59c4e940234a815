import { revisionCommit } from "../model/revision.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { FleetApp } from "./desired-apps.ts";
import type { Fleet } from "./fleet.ts";
import type { Groups } from "./groups.ts";

/** Knows which snapshots and commits somebody may still need, and has the others removed. */
export class Collector {
  readonly #parts: { readonly source: GitSource; readonly fleet: Fleet; readonly groups: Groups };
  /** Apps as attempts under way know them: they may be older than what is desired by now. */
  readonly #held = new Set<readonly FleetApp[]>();
  #litter = true;

  constructor(parts: { source: GitSource; fleet: Fleet; groups: Groups }) {
    this.#parts = parts;
  }

  /** Keeps what these versions need until disposed. */
  hold(apps: readonly FleetApp[]): Disposable {
    this.#held.add(apps);
    return { [Symbol.dispose]: () => void this.#held.delete(apps) };
  }

  /** Something is not needed any more, or may not be. */
  mark(): void {
    this.#litter = true;
  }

  /** Costs nothing when nothing was marked since the last time. */
  async collect(): Promise<void> {
    if (!this.#litter) return;
    this.#litter = false;
    const { source, fleet, groups } = this.#parts;
    const trees = groups.trees();
    const commits = new Set<string>();
    for (const { tree, overlay, revision } of [...fleet.desired.values(), ...[...this.#held].flat()]) {
      trees.add(tree);
      if (overlay !== null) trees.add(overlay);
      commits.add(revisionCommit(revision));
    }
    for (const { records } of fleet.hosts.values()) {
      for (const { revision, unfinished, suspected = [] } of records.values()) {
        for (const base of [revision ?? [], unfinished, suspected].flat()) commits.add(revisionCommit(base));
      }
    }
    await source.collect({ trees, commits });
  }
}
