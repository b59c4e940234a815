import { revisionCommit } from "../../model/revision.ts";
import { orAborted } from "../../ports/abort.ts";
import type { Clock } from "../../ports/clock.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";

/** How long whoever has edited waits for files and lists to show it. Milliseconds. */
const LONGEST = 10_000;

/** Resolves when what is served has the commit, or when that takes too long: then it has it later, by itself. */
export async function untilShown(
  repo: RepoController,
  commit: string,
  { clock, closing }: { clock: Clock; closing: AbortSignal },
): Promise<void> {
  const late = new AbortController();
  using _ = clock.after(LONGEST, () => late.abort());
  await orAborted(repo.readGit(closing), late.signal);
  if (!(await isShown(repo, commit))) repo.lookAtGit();
}

async function isShown({ fleet, source }: RepoController, commit: string): Promise<boolean> {
  if (fleet.revision === null) return false;
  const newest = revisionCommit(fleet.revision);
  if (newest === commit) return true;
  // Others have pushed on top of it.
  return newest === (await source.head()) && (await source.contains(commit).catch(() => false));
}
