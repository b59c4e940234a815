import { z } from "zod";
import type { AppId } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import type { Secrets } from "../ports/secrets.ts";
import { credentials } from "./credentials.ts";
import type { HttpClient } from "./http-client.ts";
import { askAll } from "./http-queries.ts";
import type { HttpSdOptions } from "./options.ts";
import type { QueryResult, Source } from "./source.ts";

const LARGEST = 64 * 1024 * 1024;

const TargetGroups = z.array(
  z.object({ targets: z.array(z.string()), labels: z.record(z.string(), z.string()).optional() }),
);
type TargetGroups = z.output<typeof TargetGroups>;

/**
 * Prometheus http_sd: `[{"targets": ["host:port"], "labels": {…}}]`, one query for all apps. A port in
 * a target is the ssh port, as it is in every address: write targets for fssync without the port of
 * an exporter, or with that of sshd.
 */
export class HttpSdSource implements Source {
  readonly guarded = true;
  readonly strictKeys = false;
  readonly #options: HttpSdOptions;
  readonly #client: HttpClient;
  readonly #secrets: Secrets | undefined;

  constructor({
    options,
    client,
    secrets,
  }: {
    options: HttpSdOptions;
    client: HttpClient;
    secrets: Secrets | undefined;
  }) {
    this.#options = options;
    this.#client = client;
    this.#secrets = secrets;
  }

  async ask(apps: readonly AppId[], signal: AbortSignal): Promise<readonly QueryResult[]> {
    const header = await credentials(this.#options.secretRef?.name, this.#secrets);
    if (header instanceof FssyncError) return [{ apps, whole: true, entries: header }];
    return askAll([{ url: new URL(this.#options.url), apps, whole: true }], signal, async ({ url }) => {
      const answer = await this.#client.getJson(url, { authorization: header, largest: LARGEST, signal });
      return this.#hosts(answer);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  #hosts(answer: unknown): readonly unknown[] {
    const parsed = TargetGroups.safeParse(answer);
    if (!parsed.success) {
      const at = parsed.error.issues[0]?.path.join(".");
      throw new FssyncError(
        "InventoryFailed",
        `the answer is not http_sd JSON: expected [{targets, labels}]${at ? `, see ${at}` : ""}`,
      );
    }
    const { mod, env, app } = this.#options.labels;
    return parsed.data.flatMap(({ targets, labels = {} }) =>
      targets.map((address) => ({ address, mod: own(labels, mod), env: own(labels, env), app: own(labels, app) })),
    );
  }
}

/** Prometheus treats an empty label as one that is not there. */
function own(labels: NonNullable<TargetGroups[number]["labels"]>, name: string): string | undefined {
  return (Object.hasOwn(labels, name) ? labels[name] : undefined) || undefined;
}
