import type { AppKey } from "../../model/app.ts";
import type { Drift } from "../../model/drift.ts";
import { REASONS, type Reason } from "../../model/errors.ts";
import { STATES, type State } from "../../model/state.ts";
import type { WantedCondition } from "../conditions.ts";
import { changedFiles } from "../drift-text.ts";

/** What of one app on a host counts for the host's conditions. */
export interface AppState {
  readonly app: AppKey;
  readonly state: State;
  /** Why it failed, or is refused. */
  readonly cause: { readonly reason: Reason; readonly message: string } | null;
  /** What somebody else changed. */
  readonly drift?: Drift | undefined;
}

/** Apps named in a message, and files of each; the rest are a number. */
const NAMED = 3;

/**
 * kstatus: `Ready` always, `Reconciling` while something is under way or waits for its turn, `Stalled`
 * when nothing is and what is wrong will not get right by trying again. `worst` is the first of the worst.
 */
export function hostConditions(apps: readonly AppState[]): WantedCondition[] {
  const behind = STATES.filter((state) => state !== "Synced").flatMap((state) =>
    apps.filter((app) => app.state === state),
  );
  const [worst] = behind;
  if (!worst) return [{ type: "Ready", status: "True", reason: "Synced", message: allSynced(apps.length) }];
  const message = `${apps.length - behind.length} of ${apps.length} apps are as in Git; ${named(behind)}`;
  const ready = { type: "Ready", status: "False", reason: worst.cause?.reason ?? worst.state, message } as const;
  const moving = behind.filter(({ state }) => state === "Pending" || state === "Syncing");
  if (moving.length > 0) {
    const progress = `${moving.length} of ${apps.length} apps are on their way; ${named(moving)}`;
    return [ready, { type: "Reconciling", status: "True", reason: "Progressing", message: progress }];
  }
  const held = behind.find(({ cause }) => cause !== null && !REASONS[cause.reason].retry);
  if (!held) return [ready];
  const { reason } = held.cause!;
  const stalled = `${named([held])}; ${REASONS[reason].next}`;
  return [ready, { type: "Stalled", status: "True", reason, message: stalled }];
}

function allSynced(count: number): string {
  return count === 1 ? "its app is as in Git" : `all ${count} apps are as in Git`;
}

function named(apps: readonly AppState[]): string {
  const texts = apps.slice(0, NAMED).map((each) => `${each.app.toWellFormed()} ${each.state}${why(each)}`);
  const more = apps.length > NAMED ? `, and ${apps.length - NAMED} more` : "";
  return texts.join(", ") + more;
}

function why({ state, cause, drift }: AppState): string {
  if (cause) return ` (${cause.reason}: ${cause.message.toWellFormed()})`;
  return state === "Drifted" && drift ? ` (${changedFiles(drift, NAMED)})` : "";
}
