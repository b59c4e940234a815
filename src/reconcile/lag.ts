import { revisionCommit, type Revision } from "../model/revision.ts";
import type { Base } from "../plan/change.ts";
import type { Lagging } from "../plan/host-plan.ts";
import type { GitSource } from "../ports/git-source.ts";
import type { FleetApp } from "./desired-apps.ts";
import type { FleetHost } from "./fleet.ts";
import type { AppWish } from "./requests.ts";

/** Unfinished syncs are told apart up to this many; then everything is sent, and what only the oldest put there stays. */
export const MAX_UNFINISHED = 16;

/** SHA-1 or SHA-256, as Git writes it. */
const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

/**
 * How one app on one host lags: the files that it has, read from Git at the revisions that the record names.
 * A revision that names no commit is as good as lost.
 */
export async function lagOf(
  source: GitSource,
  host: FleetHost,
  desired: FleetApp,
  wish: AppWish | undefined,
): Promise<Lagging> {
  const at = async (revision: Revision): Promise<Base | null> => {
    const commit = revisionCommit(revision);
    return COMMIT.test(commit) ? await source.appAt(desired.key, commit) : null;
  };
  const { digest, revision, unfinished, suspected = [] } = host.records.get(desired.key)!;
  const recorded = digest && revision ? { digest, revision } : null;
  const [base, begun, maybe] = await Promise.all([
    recorded && at(recorded.revision),
    Promise.all(unfinished.map(at)),
    Promise.all(suspected.map(at)),
  ]);
  const full = wish?.full === true || unfinished.length + suspected.length >= MAX_UNFINISHED;
  const allowPrune = wish?.allowPrune === desired.digest;
  return { desired, recorded, base, unfinished: begun, suspected: maybe, full, allowPrune };
}
