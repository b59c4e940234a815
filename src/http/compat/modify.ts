import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { appKey, type AppId } from "../../model/app.ts";
import { displayPath } from "../../model/path.ts";
import type { FileChange } from "../../ports/git-editor.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { ApiServer } from "../api-server.ts";
import { noteCall } from "../auth/note-call.ts";
import { HttpProblem } from "../problem.ts";
import type { PublicServerOptions, Site } from "../site.ts";
import { errorsAs, json } from "./answers.ts";
import { ambiguous, DEFAULT_MOD, folderIn, reposNamed } from "./folder.ts";
import { checkLine, editLines, type LineEdit } from "./line-edit.ts";
import { given, Name } from "./names.ts";
import { maySeeSecrets } from "./secrets.ts";

/** Keys that a commit's message and the log name; the rest are a number. */
const NAMED = 20;

const Query = z.object({ repo: Name });
/** What else a script sends is passed over, as it was. */
const Body = z.object({
  appName: z.string(),
  envName: z.string(),
  mod: z.string().default(DEFAULT_MOD),
  repo: Name,
  path: z.string().default(""),
  filename: z.string(),
  operate: z.enum(["add", "edit", "del"]),
  datas: z.record(z.string(), z.string()),
});
type Body = z.infer<typeof Body>;

/** `POST /modify`: edits `key=value` lines of one file, commits and pushes. */
export function modifyRoute(server: ApiServer, { site, access }: PublicServerOptions): void {
  void server.register(async (scope) => {
    takeAnyTypeAsJson(scope);
    (scope as unknown as ApiServer).route({
      method: "POST",
      url: "/modify",
      config: { needs: { verb: "update", resource: "configapps" }, compat: true, rate: "costly" },
      schema: { hide: true, querystring: Query, body: Body },
      errorHandler: errorsAs((msg) => ({ status: "false", msg })),
      handler: async (request, reply) => {
        const { body } = request;
        const app = {
          mod: part("mod", body.mod),
          env: part("envName", body.envName),
          app: part("appName", body.appName),
        };
        const file = fileOf(app, body);
        const edit = lineEdit(body);
        const repo = await repoOf(site, app, given(request.query).repo ?? given({ repo: body.repo }).repo);
        const { editor, fleet } = repo;
        if (!editor) throw new HttpProblem(409, `nothing commits to the repo ${repo.repo} from here`);
        const keys = [...edit.datas.keys()].slice(0, NAMED);
        const { operate } = edit;
        noteCall(request, "modify", { repo: repo.repo, file, operate, keys, revision: fleet.revision });
        const change = { path: file, message: messageOf(file, edit, request.caller.name) };
        // What it answers says which keys are there.
        const secrets = await maySeeSecrets(request, access, repo.repo);
        const edited: FileChange["edit"] = (before, { secret }) => {
          if (secret && !secrets)
            throw new HttpProblem(403, `${displayPath(file)} is secret: it is for those who may read it`, {
              reason: "Unauthorized",
            });
          if (before !== null) return editLines(before, edit);
          throw new HttpProblem(404, `there is no file ${displayPath(file)} in Git`, { reason: "UnknownName" });
        };
        // Whoever leaves has asked all the same.
        const commit = await editor.commit({ ...change, edit: edited }, server.closing);
        request.log.info({ repo: repo.repo, file, commit }, commit === null ? "nothing to commit" : "committed");
        if (commit !== null) repo.lookAtGit();
        json(reply.code(200), { status: "true", msg: "success" });
      },
    });
  });
}

/** The predecessor never looked at the type, and curl says that it sends a form. */
function takeAnyTypeAsJson(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser("*", { parseAs: "string" }, scope.getDefaultJsonParser("error", "error"));
}

/** One folder's or file's name. Throws 400. */
function part(field: string, name: string): string {
  // oxlint-disable-next-line no-control-regex
  const wrong = name === "" || name === "." || name === ".." || /[/\u0000-\u001f\u007f]/.test(name);
  if (wrong || !name.isWellFormed())
    throw new HttpProblem(400, `${field}: ${JSON.stringify(name)} is no name of a folder or file`);
  // They say who owns files, and what is secret.
  if (/^\.(?:git|fssync\.yaml$)/i.test(name)) throw new HttpProblem(400, `${field}: ${name} is not edited here`);
  return name;
}

/** In the repo. Scripts write `/etc/nginx/` as well as `etc/nginx`. */
function fileOf(app: AppId, { path, filename }: Body): string {
  const names = path.split("/");
  const first = names.findIndex((name) => name !== "");
  const last = names.findLastIndex((name) => name !== "");
  const folders = first < 0 ? [] : names.slice(first, last + 1).map((name) => part("path", name));
  return [appKey(app), ...folders, part("filename", filename)].join("/");
}

function lineEdit({ operate, datas }: Body): LineEdit {
  for (const [key, value] of Object.entries(datas)) checkLine(key, operate === "del" ? "" : value);
  return { operate, datas: new Map(Object.entries(datas)) };
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
