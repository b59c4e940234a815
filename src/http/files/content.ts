import { appKey, type AppId } from "../../model/app.ts";
import { Lru } from "../../model/lru.ts";
import type { FileEntry } from "../../model/manifest.ts";
import type { BaseApp } from "../../ports/git-source.ts";
import { revision as revisionOf, type Revision } from "../../model/revision.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import { HttpProblem } from "../problem.ts";
import { deskOf, type Site } from "../site.ts";
import { Lookups } from "./lookups.ts";
import { SecretsByNow } from "./secrets.ts";

/** An app as it is to be served. */
export interface Content extends BaseApp {
  readonly repo: RepoController;
  /** The revision that was asked for, or the newest one. */
  readonly revision: Revision;
  /** Whether the commit was named: then it never changes. */
  readonly fixed: boolean;
  readonly isSecret: (file: FileEntry) => boolean;
}

export interface ContentParams extends AppId {
  readonly repo: string;
}

export interface AskedRevision {
  readonly revision: string | undefined;
  /** Counts what Git has to be asked for; throws 429. */
  readonly count: () => Promise<void>;
}

/** Of what was asked for at commits. */
const REMEMBERED = 500;
const REVISION = /^(?:(.+)@sha1:)?([0-9a-f]{40})$/;

/** Finds apps at Git's head or at a commit below it. */
export class Contents {
  readonly #site: Site;
  /** Many ask for the same at once, when an image is rolled out. */
  readonly #lookups = new Lookups();
  readonly #counted = new Lru<string, true>(REMEMBERED);
  readonly #secrets = new SecretsByNow();

  constructor(site: Site) {
    this.#site = site;
  }

  /** Throws 404 for what is not there, 409 for what cannot be served, 503 before Git was read or when it is asked too much. */
  async find(params: ContentParams, { revision, count }: AskedRevision): Promise<Content> {
    const repo = deskOf(this.#site).controller.repo(params.repo);
    if (!repo) throw unknown(`there is no repo ${params.repo}`);
    const content = revision === undefined ? atHead(repo, params) : await this.#at(repo, params, revision, count);
    const { refused } = content;
    if (refused) throw new HttpProblem(409, `${appKey(params)}: ${refused.message}`, { reason: refused.reason });
    return content;
  }

  async #at(repo: RepoController, app: AppId, text: string, count: () => Promise<void>): Promise<Content> {
    const head = headOf(repo);
    const branch = head.slice(0, head.lastIndexOf("@"));
    const [, named = branch, commit] = REVISION.exec(text) ?? [];
    if (commit === undefined) {
      throw new HttpProblem(400, `revision ${text}: expected 40 hex digits, or branch@sha1: and 40 hex digits`);
    }
    const isOther = named !== branch;
    if (!isOther) await this.#countOnce(repo, app, commit, count);
    const question = JSON.stringify([repo.repo, head, app.mod, app.env, app.app, commit]);
    const found = isOther ? undefined : await this.#lookups.ask(question, () => appBelow(repo, app, commit));
    if (found === undefined) throw unknown(`${commit} is no commit of ${branch} in ${repo.repo}`);
    if (found === null) throw unknown(`there is no app ${appKey(app)} in ${repo.repo} at ${commit}`);
    const byNow = this.#secrets.of(repo.fleet.desired, appKey(app));
    return { ...found, repo, revision: revisionOf(branch, commit), fixed: true, isSecret: byNow };
  }

  /** A commit counts when it is asked for first, and so does an app that the head does not have: thousands may ask for the rest. */
  async #countOnce(repo: RepoController, app: AppId, commit: string, count: () => Promise<void>): Promise<void> {
    const key = appKey(app);
    const name = JSON.stringify([repo.repo, commit, repo.fleet.desired.has(key) ? null : key]);
    if (this.#counted.get(name)) return;
    // At once: the many who come with the first are not counted either.
    this.#counted.set(name, true);
    try {
      await count();
    } catch (error) {
      this.#counted.delete(name);
      throw error;
    }
  }
}

/** Null when the commit does not hold the app; undefined when it is not at or below the head. */
async function appBelow(repo: RepoController, app: AppId, commit: string): Promise<BaseApp | null | undefined> {
  if (!(await repo.source.contains(commit))) return undefined;
  return await repo.source.appAt(appKey(app), commit);
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
  return { digest, manifest, ...(refused && { refused }), repo, revision: head, fixed: false, isSecret };
}

function isSecret({ secret }: FileEntry): boolean {
  return secret === true;
}

function headOf({ repo, fleet }: RepoController): Revision {
  if (fleet.revision !== null && fleet.desired.size > 0) return fleet.revision;
  throw new HttpProblem(503, `the Git repo of ${repo} was not read yet`, { headers: { "retry-after": "5" } });
}

function unknown(detail: string): HttpProblem {
  return new HttpProblem(404, detail, { reason: "UnknownName" });
}
