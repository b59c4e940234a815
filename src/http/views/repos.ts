import { FssyncError } from "../../model/errors.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import { deskOf, type Site } from "../site.ts";

/** The repo of this name. Throws UnknownName, and 503 while it is being started or another process leads. */
export function repoNamed(site: Site, name: string): RepoController {
  const { controller } = deskOf(site);
  const found = controller.repo(name);
  if (found) return found;
  const names = controller.running.map(({ repo }) => repo).filter((repo) => namespaceOf(repo) === namespaceOf(name));
  const hint = names.length > 0 ? `; there are ${names.join(", ")}` : "";
  throw new FssyncError("UnknownName", `no repo ${name}${hint}`);
}

/** Who may ask for one of a namespace need not know of others. */
function namespaceOf(repo: string): string {
  return repo.includes("/") ? repo.slice(0, repo.indexOf("/")) : "";
}

/** All repos, or the one that is named, with reports of what is so now. */
export async function reposUpToDate(site: Site, name?: string): Promise<readonly RepoController[]> {
  const repos = name === undefined ? deskOf(site).controller.repos : [repoNamed(site, name)];
  await Promise.all(repos.map(({ reports }) => reports.upToDate()));
  return repos;
}

/** Another text whenever what the repos report is another. */
export function versionOf(repos: readonly RepoController[]): string {
  return repos.map(({ repo, reports }) => `${repo} ${reports.version}`).join("\n");
}
