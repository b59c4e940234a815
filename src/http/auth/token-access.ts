import type { Logger } from "pino";
import { asFssyncError } from "../../model/errors.ts";
import type { Access, Action, Caller } from "../../ports/access.ts";
import { jittered, sleep, type Clock } from "../../ports/clock.ts";
import { SecretEmpty, type Secrets } from "../../ports/secrets.ts";
import { digestOf, parseFirstTokens, parseTokens, type Role, type TokenCaller, type Tokens } from "./parse-tokens.ts";

/** How often the Secret is read: rotated tokens take effect within seconds. */
const INTERVAL = 2000;
/** How long the last tokens hold while the Secret cannot be read; one that can, and does not have them, ends them at once. */
const GRACE = 5 * 60_000;

export interface TokenAccessOptions {
  readonly secrets: Secrets;
  /** Of the Secret. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Who may, by the tokens of a Secret whose keys are roles. */
export class TokenAccess implements Access, AsyncDisposable {
  readonly #options: TokenAccessOptions;
  readonly #end = new AbortController();
  #callers: ReadonlyMap<string, TokenCaller>;
  /** When the callers were last read, by the monotonic clock. */
  #readAt: number;
  #trouble: "none" | "holding" | "closed" = "none";
  /** What is wrong with lines of the Secret, as the log was told. */
  #faults: readonly string[] = [];
  #reading: Promise<void> = Promise.resolve();

  private constructor(options: TokenAccessOptions, callers: ReadonlyMap<string, TokenCaller>, readAt: number) {
    this.#options = options;
    this.#callers = callers;
    this.#readAt = readAt;
  }

  /** Reads the Secret for the first time, and every few seconds from then on. Throws SecretInvalid. */
  static async open(options: TokenAccessOptions): Promise<TokenAccess> {
    const readAt = options.clock.monotonic();
    const callers = parseFirstTokens(options.name, await options.secrets.read(options.name));
    const access = new TokenAccess(options, callers, readAt);
    access.#reading = access.#readOnAndOn();
    return access;
  }

  /**
   * A look-up by SHA-256 tells nothing of how much of a token was right: whoever measures its time learns of the
   * digest of their own guess, from which no better guess follows.
   */
  async authenticate(token: string): Promise<Caller | undefined> {
    this.#closeInTime();
    return this.#trouble === "closed" ? undefined : this.#callers.get(digestOf(token));
  }

  async may(caller: Caller, action: Action): Promise<boolean> {
    return allows((caller as Partial<TokenCaller>).role, action);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#reading;
  }

  async #readOnAndOn(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#end;
    for (;;) {
      await sleep(clock, jittered(clock, INTERVAL), signal);
      if (signal.aborted) return;
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    const { name, clock, log } = this.#options;
    const readAt = clock.monotonic();
    try {
      this.#take(parseTokens(name, await this.#readKeys()));
      this.#readAt = readAt;
      if (this.#trouble !== "none") log.info({ secret: name }, "the API's tokens can be read again");
      this.#trouble = "none";
    } catch (thrown) {
      const { reason, message } = asFssyncError(thrown);
      const facts = { secret: name, reason, error: message };
      if (this.#trouble === "none") {
        this.#trouble = "holding";
        log.error(facts, "the API's tokens cannot be read; the last good ones hold for five minutes");
      }
      this.#closeInTime();
    }
  }

  /** None when it could be read, and is empty. */
  async #readKeys(): Promise<ReadonlyMap<string, string>> {
    const { secrets, name } = this.#options;
    try {
      return await secrets.read(name);
    } catch (error) {
      if (error instanceof SecretEmpty) return new Map();
      throw error;
    }
  }

  /** What is not in the Secret any more holds no more, whatever else is wrong with it. */
  #take({ callers, faults }: Tokens): void {
    const { log, name: secret } = this.#options;
    if (!same(callers, this.#callers)) {
      if (callers.size > 0) log.info({ secret, tokens: callers.size }, "the API's tokens have changed");
      else log.error({ secret, reason: "SecretInvalid" }, "the API's tokens are gone: nobody gets in by them");
    }
    this.#callers = callers;
    if (faults.length > 0 && faults.join() !== this.#faults.join())
      log.error({ secret, reason: "SecretInvalid", faults }, "lines of the API's tokens are wrong; the others hold");
    this.#faults = faults;
  }

  /** Also while a reading hangs. */
  #closeInTime(): void {
    const { clock, log, name } = this.#options;
    if (this.#trouble === "closed" || clock.monotonic() - this.#readAt <= GRACE) return;
    this.#trouble = "closed";
    log.error({ secret: name }, "the API's tokens could not be read for five minutes: nobody gets in by them");
  }
}

function same(a: ReadonlyMap<string, TokenCaller>, b: ReadonlyMap<string, TokenCaller>): boolean {
  const isIn = ([digest, { name, role }]: [string, TokenCaller]) =>
    b.get(digest)?.name === name && b.get(digest)?.role === role;
  return a.size === b.size && [...a].every(isIn);
}

/** Whoever has no role was not known by a token. */
function allows(role: Role | undefined, { verb, resource, subresource, files }: Action): boolean {
  switch (role) {
    case "operate":
      return true;
    case "read":
      return verb !== "update" && subresource === undefined;
    case "pull":
      return verb === "get" && resource === "configapps" && (files === true || subresource === "secrets");
    case undefined:
      return false;
  }
}
