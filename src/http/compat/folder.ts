import { appKey, type AppId } from "../../model/app.ts";
import type { FileEntry } from "../../model/manifest.ts";
import { revisionCommit } from "../../model/revision.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import { Lookups } from "../files/lookups.ts";
import { HttpProblem } from "../problem.ts";
import { deskOf, type Site } from "../site.ts";

/** Where the predecessor looked when no mod was named. */
export const DEFAULT_MOD = "env";
/** The folder that it laid under every app of an env. */
export const COMMON = "common_files";

/** An app's folder in Git, as the predecessor served it. */
export interface Folder {
  readonly repo: RepoController;
  /** Its own files, sorted; what lies under them from elsewhere is not among them. No symlinks. */
  readonly files: readonly FileEntry[];
}

/**
 * The folder `mod/env/app` at Git's head. Throws 404 when no repo has it, 409 when several have and none is named,
 * 503 before Git was read where it may be.
 */
export async function folderOf(site: Site, id: AppId, name: string | undefined): Promise<Folder> {
  const repos = reposNamed(site, name);
  const found = (await Promise.all(repos.map((repo) => folderIn(repo, id)))).filter((folder) => folder !== null);
  const [folder, ...others] = found;
  if (folder && others.length === 0) return folder;
  if (folder) throw ambiguous(id, found);
  throw noFolder(repos, id);
}

/** The folder in one repo; null when that has none. */
export async function folderIn(repo: RepoController, id: AppId): Promise<Folder | null> {
  const key = appKey(id);
  const desired = repo.fleet.desired.get(key);
  const files = desired && !desired.retired ? desired.manifest : await commonFiles(repo, id);
  return files && { repo, files: files.filter(({ from, kind }) => from === key && kind === "file") };
}

/** The repo of that name, or all of them. */
export function reposNamed(site: Site, name: string | undefined): readonly RepoController[] {
  const { controller } = deskOf(site);
  if (name === undefined) return controller.repos;
  const repo = controller.repo(name);
  if (!repo) throw new HttpProblem(404, `no repo ${name}`, { reason: "UnknownName" });
  return [repo];
}

/** 404, unless a repo that was not read yet may have it: 503. */
function noFolder(repos: readonly RepoController[], id: AppId): HttpProblem {
  const unread = repos.find(({ fleet }) => !fleet.wasRead);
  if (!unread) return new HttpProblem(404, `no app ${appKey(id)}`, { reason: "UnknownName" });
  return new HttpProblem(503, `the Git repo of ${unread.repo} was not read yet`, { headers: { "retry-after": "5" } });
}

export function ambiguous(id: AppId, found: readonly { readonly repo: RepoController }[]): HttpProblem {
  const names = found.map(({ repo }) => repo.repo).join(", ");
  return new HttpProblem(409, `${appKey(id)} is in ${names}: say with repo= which is meant`);
}

/** Anybody may ask for any env. */
const lookups = new Lookups();

/** Where it is the overlay's name too, it is no app. */
async function commonFiles(repo: RepoController, id: AppId): Promise<readonly FileEntry[] | null> {
  const { revision } = repo.fleet;
  if (id.app !== COMMON || revision === null) return null;
  const [key, commit] = [appKey(id), revisionCommit(revision)];
  return await lookups.ask(JSON.stringify([repo.repo, key, commit]), () => repo.source.folderAt(key, commit));
}
