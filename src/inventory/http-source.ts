import { type JSONValue, TreeInterpreter, compile } from "@jmespath-community/jmespath";
import type { AppId } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import type { Secrets } from "../ports/secrets.ts";
import { aliasedEnv } from "./assign.ts";
import { credentials } from "./credentials.ts";
import type { HttpClient } from "./http-client.ts";
import { type HttpQuery, askAll } from "./http-queries.ts";
import type { HttpOptions } from "./options.ts";
import { show } from "./show.ts";
import type { QueryResult, Source } from "./source.ts";

const MIB = 1024 * 1024;
const PLACEHOLDER = /\{(mod|env|app)\}/g;

/**
 * A CMDB over HTTP. A URL with placeholders is one query per app (apps whose URLs are equal share one),
 * else one query for all. The user's JMESPath makes a list of texts or host objects of the answer.
 */
export class HttpSource implements Source {
  readonly guarded = true;
  readonly strictKeys = false;
  readonly #options: HttpOptions;
  readonly #envAliases: Readonly<Record<string, string>>;
  readonly #client: HttpClient;
  readonly #secrets: Secrets | undefined;
  readonly #expression: ReturnType<typeof compile>;

  constructor({ options, envAliases, client, secrets }: HttpSourceSettings) {
    this.#options = options;
    this.#envAliases = envAliases;
    this.#client = client;
    this.#secrets = secrets;
    this.#expression = compile(options.hosts);
  }

  async ask(apps: readonly AppId[], signal: AbortSignal): Promise<readonly QueryResult[]> {
    const queries = this.#queries(apps);
    const whole = !isTemplate(this.#options.url);
    const header = await credentials(this.#options.secretRef?.name, this.#secrets);
    if (header instanceof FssyncError) return [{ apps, whole: true, entries: header }];
    const largest = whole ? 64 * MIB : 16 * MIB;
    return askAll(queries, signal, async ({ url }) => {
      const answer = await this.#client.getJson(url, { authorization: header, largest, signal });
      return this.#search(answer);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  #queries(apps: readonly AppId[]): HttpQuery[] {
    const { url } = this.#options;
    if (!isTemplate(url)) return [{ url: new URL(url), apps, whole: true }];
    const byUrl = Map.groupBy(apps, (id) => this.#fill(id));
    return [...byUrl].map(([filled, sharing]) => ({ url: new URL(filled), apps: sharing, whole: false }));
  }

  #fill({ mod, env, app }: AppId): string {
    const values: Record<string, string> = { mod, env: aliasedEnv(env, this.#envAliases), app };
    return this.#options.url.replace(PLACEHOLDER, (_, name: string) =>
      encodeURIComponent(values[name]!.toWellFormed()),
    );
  }

  #search(answer: unknown): readonly unknown[] {
    const { hosts } = this.#options;
    let found: unknown;
    try {
      found = TreeInterpreter.search(this.#expression, answer as JSONValue);
    } catch (error) {
      throw wrongShape(`the expression ${show(hosts)} fails on the answer`, error);
    }
    if (!Array.isArray(found))
      throw wrongShape(`the expression ${show(hosts)} gives ${typeName(found)}, expected a list`);
    const odd = found.find((entry) => typeof entry !== "string" && typeName(entry) !== "a map");
    if (odd !== undefined)
      throw wrongShape(
        `the expression ${show(hosts)} gives a list with ${typeName(odd)} in it, expected texts or host objects`,
      );
    return found;
  }
}

export interface HttpSourceSettings {
  readonly options: HttpOptions;
  readonly envAliases: Readonly<Record<string, string>>;
  readonly client: HttpClient;
  readonly secrets: Secrets | undefined;
}

function isTemplate(url: string): boolean {
  return url.search(PLACEHOLDER) >= 0;
}

function wrongShape(message: string, cause?: unknown): FssyncError {
  return new FssyncError("InventoryFailed", message, { cause });
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a map" : `a ${typeof value}`;
}
