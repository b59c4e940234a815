import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { appKey, type AppId } from "../../model/app.ts";
import { HttpProblem } from "../problem.ts";
import { DEFAULT_MOD } from "./folder.ts";
import { checkLine, type LineEdit } from "./line-edit.ts";
import { Name } from "./names.ts";

/** Numbers are text by then. */
const Value = z
  .union([z.string(), z.boolean()], { error: "must be a text, a number, true or false" })
  .transform((value) => String(value));

/** What else a script sends is passed over, as it was. */
export const Body = z.object({
  appName: z.string(),
  envName: z.string(),
  mod: z.string().default(DEFAULT_MOD),
  repo: Name,
  path: z.string().default(""),
  filename: z.string(),
  operate: z.enum(["add", "edit", "del"]),
  datas: z.record(z.string(), Value),
});
type Body = z.infer<typeof Body>;

/** The predecessor never looked at the type, and curl says that it sends a form. */
export function takeAnyTypeAsJson(scope: FastifyInstance): void {
  const parse = scope.getDefaultJsonParser("error", "error");
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser("*", { parseAs: "string" }, (request, body: string, done) => {
    void parse(request, body, (error) =>
      error ? done(error) : done(null, JSON.parse(body.replace(/^\uFEFF/, ""), numberAsText)),
    );
  });
}

/** As it is written: 1.10 and 12345678901234567890 stay what they are. */
function numberAsText(_: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === "number" ? (context?.source ?? value) : value;
}

/** The app and its file in the repo, and what is to be done there. Throws 400. */
export function wanted(body: Body): { app: AppId; file: string; edit: LineEdit } {
  const app = { mod: part("mod", body.mod), env: part("envName", body.envName), app: part("appName", body.appName) };
  return { app, file: fileOf(app, body), edit: lineEdit(body) };
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
