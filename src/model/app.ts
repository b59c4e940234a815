/** An app is `mod/env/app`: the first three folders of a path in the repo. */
export type AppKey = `${string}/${string}/${string}`;

export interface AppId {
  readonly mod: string;
  readonly env: string;
  readonly app: string;
}

export function appKey({ mod, env, app }: AppId): AppKey {
  return `${mod}/${env}/${app}`;
}

/** Splits `mod/env/app`; undefined when the text has another shape. */
export function parseAppKey(text: string): AppId | undefined {
  const [mod, env, app, ...rest] = text.split("/");
  if (!mod || !env || !app || rest.length > 0) return undefined;
  return { mod, env, app };
}

/** The parts of a key that `appKey` made. */
export function appId(key: AppKey): AppId {
  const [mod, env, app] = key.split("/") as [string, string, string];
  return { mod, env, app };
}
