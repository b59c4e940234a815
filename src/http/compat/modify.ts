import { z } from "zod";
import { appKey, type AppId } from "../../model/app.ts";
import { displayPath } from "../../model/path.ts";
import type { FileChange } from "../../ports/git-editor.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { ApiServer } from "../api-server.ts";
import { noteCall } from "../auth/note-call.ts";
import { HttpProblem } from "../problem.ts";
import type { PublicServerOptions, Site } from "../site.ts";
import { errorsAs, json, refusal } from "./answers.ts";
import { ambiguous, folderIn, reposNamed } from "./folder.ts";
import { editLines, type LineEdit } from "./line-edit.ts";
import { Body, takeAnyTypeAsJson, wanted } from "./modify-body.ts";
import { given, Name } from "./names.ts";
import { maySeeSecrets } from "./secrets.ts";
import { untilShown } from "./shown.ts";

/** Keys that a commit's message and the log name; the rest are a number. */
const NAMED = 20;

const Query = z.object({ repo: Name });

/** `POST /modify`: edits `key=value` lines of one file, commits and pushes. */
export function modifyRoute(server: ApiServer, { site, access, clock }: PublicServerOptions): void {
  void server.register(async (scope) => {
    takeAnyTypeAsJson(scope);
    (scope as unknown as ApiServer).route({
      method: "POST",
      url: "/modify",
      config: { needs: { verb: "update", resource: "configapps" }, compat: true, rate: "costly" },
      schema: { hide: true, querystring: Query, body: Body },
      errorHandler: errorsAs((msg) => ({ status: "false", msg })),
      // So that what is refused for its form leaves its line in the log too.
      attachValidation: true,
      handler: async (request, reply) => {
        const call: Record<string, unknown> = {};
        try {
          if (request.validationError) throw request.validationError;
          const { body } = request;
          const { app, file, edit } = wanted(body);
          const { operate, datas } = edit;
          Object.assign(call, { file, operate, keys: [...datas.keys()].slice(0, NAMED) });
          const repo = await repoOf(site, app, given(request.query).repo ?? given({ repo: body.repo }).repo);
          Object.assign(call, { repo: repo.repo, revision: repo.fleet.revision });
          const { editor } = repo;
          if (!editor) throw new HttpProblem(409, `nothing commits to the repo ${repo.repo} from here`);
          // What it answers says which keys are there.
          const secrets = await maySeeSecrets(request, access, repo.repo);
          const change = { path: file, message: messageOf(file, edit, request.caller.name) };
          // Whoever leaves has asked all the same.
          const commit = await editor.commit({ ...change, edit: editOf(file, edit, { secrets }) }, server.closing);
          if (commit !== null) await untilShown(repo, commit, { clock, closing: server.closing });
          const outcome = commit === null ? { outcome: "unchanged" } : { outcome: "committed", commit };
          noteCall(request, "modify", { ...call, ...outcome, revision: repo.fleet.revision });
        } catch (error) {
          noteCall(request, "modify", { ...call, ...refusal(error) });
          throw error;
        }
        json(reply.code(200), { status: "true", msg: "success" });
      },
    });
  });
}

/** What is done with the file's content. Throws what is wrong with it, by the file's name. */
function editOf(file: string, edit: LineEdit, { secrets }: { secrets: boolean }): FileChange["edit"] {
  const named = displayPath(file);
  return (before, { secret }) => {
    if (secret && !secrets)
      throw new HttpProblem(403, `${named} is secret: it is for those who may read it`, { reason: "Unauthorized" });
    if (before === null) throw new HttpProblem(404, `there is no file ${named} in Git`, { reason: "UnknownName" });
    try {
      return editLines(before, edit);
    } catch (error) {
      if (!(error instanceof HttpProblem)) throw error;
      const { statusCode, message, reason } = error;
      throw new HttpProblem(statusCode, `${named}: ${message}`, { ...(reason && { reason }), cause: error });
    }
  };
}

/** The repo that is meant: the one named, the only one, or the only one that has the app. */
async function repoOf(site: Site, app: AppId, name: string | undefined): Promise<RepoController> {
  const repos = reposNamed(site, name);
  if (repos.length === 1) return repos[0]!;
  const found = (await Promise.all(repos.map((repo) => folderIn(repo, app)))).filter((folder) => folder !== null);
  if (found.length > 1) throw ambiguous(app, found);
  if (found.length === 0) throw new HttpProblem(404, `no app ${appKey(app)}`, { reason: "UnknownName" });
  return found[0]!.repo;
}

/** Names who and what, and no value. */
function messageOf(file: string, { operate, datas }: LineEdit, who: string): string {
  const keys = [...datas.keys()];
  const rest = keys.length - NAMED;
  const named = `${keys.slice(0, NAMED).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
  const by = who.replace(/\p{Cc}+/gu, " ");
  return `${file}: ${operate} ${named}\n\nAsked of fssync by ${by}: POST /modify\n`;
}
