import type { AppId } from "../model/app.ts";
import type { StaticGroup } from "./options.ts";
import type { QueryResult, Source } from "./source.ts";

/** Hosts written into the configuration. Nothing is held: a shorter list was meant. */
export class StaticSource implements Source {
  readonly guarded = false;
  readonly strictKeys = true;
  readonly #entries: readonly unknown[];

  constructor(groups: readonly StaticGroup[]) {
    this.#entries = groups.flatMap(({ mod, env, app, hosts }) =>
      hosts.map((host) => ({ ...(typeof host === "string" ? { address: host } : host), mod, env, app })),
    );
  }

  async ask(apps: readonly AppId[]): Promise<readonly QueryResult[]> {
    return [{ apps, whole: true, entries: this.#entries }];
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
