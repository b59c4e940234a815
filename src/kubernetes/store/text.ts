import type { AppId, AppKey } from "../../model/app.ts";
import { appId, appKey, parseAppKey } from "../../model/app.ts";
import type { Revision } from "../../model/revision.ts";

// Paths and names of folders are bytes; one that is no UTF-8 has lone surrogates (see model/path.ts), which
// the API server would replace. It lies there as JSON, which begins with a quote.

/** A path, or a part of one, as it lies in a status. */
export function pathText(path: string): string {
  return path.isWellFormed() && !path.startsWith('"') ? path : JSON.stringify(path);
}

/** Throws for what `pathText` did not write. */
export function textPath(text: string): string {
  return text.startsWith('"') ? String(JSON.parse(text)) : text;
}

/** `mod/env/app` as it lies in a status. */
export function appText(app: AppKey): string {
  return pathText(app);
}

/** Throws for what is no `mod/env/app`: people can edit a status too. */
export function textApp(text: string): AppKey {
  const key = textPath(text);
  if (parseAppKey(key) === undefined) throw new Error(`${text} is no app`);
  return key as AppKey;
}

export function appSpec(app: AppKey): AppId {
  const { mod, env, app: name } = appId(app);
  return { mod: pathText(mod), env: pathText(env), app: pathText(name) };
}

/** Throws where a part is empty or more than one folder. */
export function specApp({ mod, env, app }: AppId): AppKey {
  const id = { mod: textPath(mod), env: textPath(env), app: textPath(app) };
  const key = appKey(id);
  if (parseAppKey(key) === undefined) throw new Error(`${JSON.stringify([mod, env, app])} is no app`);
  return key;
}

const REVISION = /^.+@sha1:([0-9a-f]{40}|[0-9a-f]{64})$/s;

/** Undefined for what names no commit: Git would be asked for it for ever. */
export function textRevision(text: string | undefined): Revision | undefined {
  return text !== undefined && REVISION.test(text) ? (text as Revision) : undefined;
}

export function textTime(text: string): number {
  return Date.parse(text);
}
