import { appKey, type AppId } from "../../model/app.ts";
import type { BaseApp } from "../../ports/git-source.ts";
import { revision as revisionOf, type Revision } from "../../model/revision.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import { HttpProblem } from "../problem.ts";
import { deskOf, type Site } from "../site.ts";

/** An app as it is to be served. */
export interface Content extends BaseApp {
  readonly repo: RepoController;
  /** The revision that was asked for, or the newest one. */
  readonly revision: Revision;
  /** Whether the commit was named: then it never changes. */
  readonly fixed: boolean;
}

export interface ContentParams extends AppId {
  readonly repo: string;
}

const REVISION = /^(?:(.+)@sha1:)?([0-9a-f]{40})$/;

/** Finds apps at Git's head or at a commit below it. */
export class Contents {
  readonly #site: Site;
  /** Many ask for the same at once, when an image is rolled out. */
  readonly #reading = new Map<string, Promise<BaseApp | null>>();

  constructor(site: Site) {
    this.#site = site;
  }

  /** Throws 404 for what is not there, 409 for what cannot be served, 503 before Git was read. */
  async find(params: ContentParams, revision: string | undefined): Promise<Content> {
    const repo = deskOf(this.#site).controller.repo(params.repo);
    if (!repo) throw unknown(`there is no repo ${params.repo}`);
    const content = revision === undefined ? atHead(repo, params) : await this.#at(repo, params, revision);
    const { refused } = content;
    if (refused) throw new HttpProblem(409, `${appKey(params)}: ${refused.message}`, { reason: refused.reason });
    return content;
  }

  async #at(repo: RepoController, app: AppId, text: string): Promise<Content> {
    const head = headOf(repo);
    const branch = head.slice(0, head.lastIndexOf("@"));
    const [, named = branch, commit] = REVISION.exec(text) ?? [];
    if (commit === undefined) {
      throw new HttpProblem(400, `revision ${text}: expected 40 hex digits, or branch@sha1: and 40 hex digits`);
    }
    if (named !== branch || !(await repo.source.contains(commit))) {
      throw unknown(`${commit} is no commit of ${branch} in ${repo.repo}`);
    }
    const found = await this.#read(repo, app, commit);
    if (!found) throw unknown(`there is no app ${appKey(app)} in ${repo.repo} at ${commit}`);
    return { ...found, repo, revision: revisionOf(branch, commit), fixed: true };
  }

  #read(repo: RepoController, app: AppId, commit: string): Promise<BaseApp | null> {
    const name = JSON.stringify([repo.repo, app.mod, app.env, app.app, commit]);
    const known = this.#reading.get(name);
    if (known) return known;
    const reading = repo.source.appAt(appKey(app), commit).finally(() => this.#reading.delete(name));
    this.#reading.set(name, reading);
    return reading;
  }
}

/** Of files and archives alike. What a full commit names never changes; all else is asked for again, which costs a 304. */
export function contentHeaders({ fixed, revision, digest }: Content, etag: string): Record<string, string> {
  return {
    etag,
    "cache-control": fixed ? "private, max-age=31536000, immutable" : "private, no-cache",
    "accept-ranges": "none",
    "x-content-type-options": "nosniff",
    "x-fssync-revision": headerText(revision),
    "x-fssync-digest": digest,
  };
}

/** For a header's value, in which there is no place for letters of every alphabet. */
function headerText(text: string): string {
  return text.toWellFormed().replace(/[^\u0020-\u007e]+/gu, encodeURIComponent);
}

/** The newest is what hosts shall have: the overlay, and who owns what, are in it. */
function atHead(repo: RepoController, app: AppId): Content {
  const head = headOf(repo);
  const desired = repo.fleet.desired.get(appKey(app));
  if (!desired) throw unknown(`there is no app ${appKey(app)} in ${repo.repo}`);
  if (desired.retired) throw unknown(`Git does not hold ${appKey(app)} any more; \`?revision=\` names an older commit`);
  const { digest, manifest, refused } = desired;
  return { digest, manifest, ...(refused && { refused }), repo, revision: head, fixed: false };
}

function headOf({ repo, fleet }: RepoController): Revision {
  if (fleet.revision !== null && fleet.desired.size > 0) return fleet.revision;
  throw new HttpProblem(503, `the Git repo of ${repo} was not read yet`, { headers: { "retry-after": "5" } });
}

function unknown(detail: string): HttpProblem {
  return new HttpProblem(404, detail, { reason: "UnknownName" });
}
