import type { Logger } from "pino";
import { asFssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { RepoTelemetry, WebhookResult } from "../ports/telemetry.ts";
import { SecretEmpty } from "../ports/secrets.ts";
import { Collapsed } from "./collapsed.ts";
import { parseHookSecrets } from "./hook-secrets.ts";

export interface Hook {
  readonly branch: string;
  /** What the Secret that signs webhooks is called. */
  readonly secretName?: string;
  /** The keys of that Secret; absent when none is named: no webhook is believed then. */
  readonly secret?: () => Promise<ReadonlyMap<string, string>>;
}

export interface WebhooksOptions extends Hook {
  /** Asks Git now. */
  readonly look: () => void;
  readonly telemetry: RepoTelemetry;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Between two looks that webhooks ask for, and between two reads of the Secret, milliseconds. */
const WINDOW = 1000;

/** How long the last secrets hold while the Secret cannot be read, milliseconds. */
const PATIENCE = 300_000;

/** Those who may say that the branch of a repo moved, and what comes of it: a look at Git, however many say it. */
export class Webhooks implements Disposable {
  readonly branch: string;
  readonly #options: WebhooksOptions;
  readonly #looks: Collapsed;
  #read: { readonly at: number; readonly secrets: Promise<readonly string[]> } | undefined;
  #good: { readonly at: number; readonly secrets: readonly string[] } = { at: -Infinity, secrets: [] };
  /** Why the Secret cannot be used, as the log was told. */
  #trouble: string | null = null;

  constructor(options: WebhooksOptions) {
    const { clock, look: task } = options;
    this.branch = options.branch;
    this.#options = options;
    this.#looks = new Collapsed({ clock, window: WINDOW, task });
  }

  /** Each of them verifies a webhook; with none no webhook is believed. Never rejects, and reads once a second at most. */
  secrets(): Promise<readonly string[]> {
    const now = this.#options.clock.monotonic();
    if (!this.#read || now - this.#read.at >= WINDOW) this.#read = { at: now, secrets: this.#readSecrets() };
    return this.#read.secrets;
  }

  /** Somebody who is believed says that something happened: `accepted` is what may have moved the branch. */
  take(result: WebhookResult): void {
    this.#options.telemetry.webhook(result);
    if (result === "accepted") this.#looks.ask();
  }

  [Symbol.dispose](): void {
    this.#looks[Symbol.dispose]();
  }

  async #readSecrets(): Promise<readonly string[]> {
    const { secret, secretName = "of git.webhook", clock } = this.#options;
    if (!secret) return [];
    try {
      const { secrets, faults } = parseHookSecrets(secretName, await secret());
      this.#good = { at: clock.monotonic(), secrets };
      this.#note(faults.length > 0 ? faults.join("; ") : null, secrets.length > 0);
    } catch (error) {
      this.#note(asFssyncError(error).message);
      // What can be read, and has none, takes them back.
      if (error instanceof SecretEmpty) this.#good = { at: clock.monotonic(), secrets: [] };
      if (clock.monotonic() - this.#good.at > PATIENCE) return [];
    }
    return this.#good.secrets;
  }

  /** Each trouble is told once; `others`: there are secrets that it does not concern. */
  #note(trouble: string | null, others = false): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    const { log } = this.#options;
    const facts = { reason: "SecretInvalid", message: trouble };
    if (trouble === null) log.info("webhooks can be verified again");
    else if (others) log.warn(facts, "some webhooks cannot be verified");
    else log.warn(facts, "webhooks cannot be verified");
  }
}
