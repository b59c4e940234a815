import type { AppId, AppKey } from "../../model/app.ts";
import { appId, appKey } from "../../model/app.ts";

// Names of folders are bytes; one that is no UTF-8 has lone surrogates (see model/path.ts), which the API
// server would replace. Such a name lies there as JSON, which begins with a quote.

function nameText(name: string): string {
  return name.isWellFormed() && !name.startsWith('"') ? name : JSON.stringify(name);
}

/** Throws for what `nameText` did not write. */
function textName(text: string): string {
  return text.startsWith('"') ? (JSON.parse(text) as string) : text;
}

/** `mod/env/app` as it lies in a status. */
export function appText(app: AppKey): string {
  return nameText(app);
}

export function textApp(text: string): AppKey {
  return textName(text) as AppKey;
}

export function appSpec(app: AppKey): AppId {
  const { mod, env, app: name } = appId(app);
  return { mod: nameText(mod), env: nameText(env), app: nameText(name) };
}

export function specApp({ mod, env, app }: AppId): AppKey {
  return appKey({ mod: textName(mod), env: textName(env), app: textName(app) });
}

export function textTime(text: string): number {
  return Date.parse(text);
}
