import type { Problem } from "../model/record.ts";
import type { Reason } from "../model/errors.ts";

/** What is wrong with a repo now, by where it comes from; tells only what is new. */
export class Problems {
  readonly #now: () => number;
  readonly #bySource = new Map<string, readonly Problem[]>();

  constructor(now: () => number) {
    this.#now = now;
  }

  get all(): Problem[] {
    return [...this.#bySource.values()].flat();
  }

  /** Replaces what a source has; a problem that lasts keeps its time. Returns the new ones and whether anything changed. */
  set(source: string, found: readonly { readonly reason: Reason; readonly message: string }[]): ProblemsChange {
    const before = this.#bySource.get(source) ?? [];
    const next = found.map(({ reason, message }) => {
      const lasting = before.find((problem) => problem.reason === reason && problem.message === message);
      return lasting ?? { reason, message, since: this.#now() };
    });
    this.#bySource.set(source, next);
    const fresh = next.filter((problem) => !before.includes(problem));
    return { fresh, changed: fresh.length > 0 || next.length !== before.length };
  }
}

export interface ProblemsChange {
  readonly fresh: readonly Problem[];
  readonly changed: boolean;
}
