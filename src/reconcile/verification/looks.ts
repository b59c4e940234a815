import type { AppKey } from "../../model/app.ts";
import type { FssyncError } from "../../model/errors.ts";
import type { HostKey } from "../../model/host.ts";
import type { FoundDrift } from "../../plan/drift.ts";
import type { Contents } from "./contents.ts";

/** A look at a host that somebody waits for. */
export interface Look {
  /** Of these apps; absent: of those that are synced and not suspended. */
  readonly apps?: ReadonlySet<AppKey>;
  /** Where the contents of changed text files are wanted; absent where they are not. */
  readonly contents?: Contents | undefined;
  /** Called once: with what was found, or with null when there was nothing to look at. */
  readonly done: (finding: HostFinding | null) => void;
}

/** What one look at one host found. */
export interface HostFinding {
  readonly apps: ReadonlyMap<AppKey, AppFinding>;
}

export interface AppFinding {
  readonly files: readonly FoundFile[];
  /** Why it could not be looked at. */
  readonly error: FssyncError | null;
}

export interface FoundFile extends FoundDrift {
  /** Where that may be shown, under which key of `Contents.pairs` is what Git and the host have. */
  readonly contents?: string;
}

/** Open looks by host. One that comes while the host is worked on waits for the next turn. */
export class Looks {
  readonly #pending = new Map<HostKey, Look[]>();

  /** The caller queues the host. */
  add(key: HostKey, look: Look): void {
    const pending = this.#pending.get(key);
    if (pending) pending.push(look);
    else this.#pending.set(key, [look]);
  }

  /** The looks that the turn which begins now is for. */
  take(key: HostKey): readonly Look[] {
    const pending = this.#pending.get(key) ?? [];
    this.#pending.delete(key);
    return pending;
  }
}
