import type { AppKey } from "../model/app.ts";
import type { Problem } from "../model/record.ts";
import type { Reason } from "../model/errors.ts";

/** Apps named in one problem; the rest are a number. */
const NAMED = 3;

/** What a poll found. Apps that fail in the same way are one problem. */
export interface Finding {
  readonly reason: Reason;
  readonly message: string;
  /** The app concerned; absent or null when it is the whole poll. */
  readonly app?: AppKey | null;
}

/** What is wrong with a repo now, by where it comes from; tells only what is new. */
export class Problems {
  readonly #now: () => number;
  readonly #bySource = new Map<string, readonly Problem[]>();
  readonly #findings = new Map<string, readonly Finding[]>();

  constructor(now: () => number) {
    this.#now = now;
  }

  get all(): Problem[] {
    return [...this.#bySource.values()].flat();
  }

  of(source: string): readonly Problem[] {
    return this.#bySource.get(source) ?? [];
  }

  /** What a source found last of all at once, or of one of these apps; of any when absent. */
  concerning(source: string, apps?: ReadonlySet<AppKey>): readonly Finding[] {
    const found = this.#findings.get(source) ?? [];
    return found.filter(({ app = null }) => app === null || apps === undefined || apps.has(app));
  }

  /** Replaces what a source has; a problem that lasts keeps its time. Returns the new ones and whether anything changed. */
  set(source: string, found: readonly Finding[]): ProblemsChange {
    const before = this.#bySource.get(source) ?? [];
    const next = withApps(found).map(({ reason, message }) => {
      const lasting = before.find((problem) => problem.reason === reason && problem.message === message);
      return lasting ?? { reason, message, since: this.#now() };
    });
    this.#bySource.set(source, next);
    this.#findings.set(source, found);
    const fresh = next.filter((problem) => !before.includes(problem));
    return { fresh, changed: fresh.length > 0 || next.length !== before.length };
  }
}

export interface ProblemsChange {
  readonly fresh: readonly Problem[];
  readonly changed: boolean;
}

/** The findings, those that differ only in their app as one, whose message names the apps. */
function withApps(found: readonly Finding[]): Pick<Finding, "reason" | "message">[] {
  const groups = Map.groupBy(found, ({ reason, message }) => `${reason} ${message}`);
  return [...groups.values()].map((group) => {
    const { reason, message } = group[0]!;
    const apps = [...new Set(group.flatMap(({ app }) => app ?? []))].filter((app) => !message.includes(app));
    return { reason, message: apps.length > 0 ? `${named(apps)}: ${message}` : message };
  });
}

function named(apps: readonly AppKey[]): string {
  const rest = apps.length - NAMED;
  return `${apps.slice(0, NAMED).join(", ")}${rest > 0 ? ` and ${rest} more apps` : ""}`;
}
