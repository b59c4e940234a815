import type { AppKey } from "../../model/app.ts";
import { revisionCommit } from "../../model/revision.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { HistoryCommit } from "../schemas/history.ts";

/** Revisions of hosts for which Git is asked which commit of the app they are; further ones are counted nowhere. */
const MOST_REVISIONS = 50;

/** The commits that changed the app, the newest first. Throws SourceUnavailable. */
export async function appHistory(repo: RepoController, app: AppKey, limit: number): Promise<HistoryCommit[]> {
  const commits = await repo.source.history(app, limit);
  const listed = new Set(commits.map(({ commit }) => commit));
  const hosts = new Map<string, number>();
  for (const [commit, count] of await countVersions(repo, app, listed)) {
    hosts.set(commit, (hosts.get(commit) ?? 0) + count);
  }
  return commits.map(({ commit, revision, author, at, subject }) => ({
    commit,
    revision,
    author,
    date: new Date(at).toISOString(),
    subject,
    hosts: hosts.get(commit) ?? 0,
  }));
}

/** How many hosts have which commit of the app. What they synced may be a later one, which changed other apps only. */
async function countVersions(
  repo: RepoController,
  app: AppKey,
  listed: ReadonlySet<string>,
): Promise<[commit: string, hosts: number][]> {
  const synced = countSynced(repo, app);
  const known = [...synced].filter(([commit]) => listed.has(commit));
  const others = [...synced].filter(([commit]) => !listed.has(commit)).sort(([, a], [, b]) => b - a);
  const found = others.slice(0, MOST_REVISIONS).map(async ([commit, hosts]): Promise<[string, number]> => {
    // One that was force-pushed away, and that nobody keeps, is no commit of the list.
    const [version] = await repo.source.history(app, 1, commit).catch(() => []);
    return [version?.commit ?? commit, hosts];
  });
  return [...known, ...(await Promise.all(found))];
}

function countSynced({ fleet }: RepoController, app: AppKey): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const key of fleet.hostsOf(app)) {
    const revision = (fleet.hosts.get(key)?.records ?? fleet.recordOf(key)?.apps)?.get(app)?.revision;
    if (!revision) continue;
    const commit = revisionCommit(revision);
    counts.set(commit, (counts.get(commit) ?? 0) + 1);
  }
  return counts;
}
