import { createHash, randomUUID } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../ports/clock.ts";
import type { ApiServer } from "../api-server.ts";
import { hasAlready, strongEtag } from "../files/etag.ts";
import { textInTurns } from "./text-in-turns.ts";
import { Turnstile } from "./turnstile.ts";

/** Texts that are kept at most, and bytes of them. */
const MOST_TEXTS = 1000;
const MOST_BYTES = 64 * 1024 * 1024;

export interface Question {
  /** What was asked. */
  readonly name: string;
  /** Another text whenever the answer may be another one. */
  readonly version: string;
  /** JSON of the answer in small pieces. */
  readonly pieces: () => Iterable<string>;
}

interface Kept {
  readonly version: string;
  readonly etag: string;
  readonly text: Promise<Buffer>;
  /** Zero until it is there. */
  bytes: number;
}

declare module "fastify" {
  interface FastifyInstance {
    readonly sharedAnswers: SharedAnswers;
  }
}

/** Before the routes that use them: one for all of the server, so that all together are bounded. */
export function shareAnswers(server: ApiServer, clock: Clock): void {
  server.decorate("sharedAnswers", new SharedAnswers(clock));
}

/**
 * Answers that many ask for at once: each is put into words once, in small pieces between which syncs go on, and
 * sent to all; who has it already is told just that.
 */
class SharedAnswers {
  readonly #clock: Clock;
  readonly #turnstile: Turnstile;
  /** Versions count from the start of the process. */
  readonly #process = randomUUID();
  /** By name, the one used last at the end. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  /** The text that is being put together; others wait for it, or each would have its share of every turn. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#turnstile = new Turnstile(clock);
  }

  async send(request: FastifyRequest, reply: FastifyReply, question: Question): Promise<FastifyReply> {
    const etag = this.#etagOf(question);
    const known = hasAlready(request.headers["if-none-match"], etag);
    const text = known ? null : await this.#textOf(question, etag);
    return await this.#sendTagged(reply, etag, text);
  }

  /** Sends what is JSON already, and little of it; who has it already is told just that. */
  async sendSmall(request: FastifyRequest, reply: FastifyReply, text: string): Promise<FastifyReply> {
    const etag = strongEtag(createHash("sha256").update(text).digest("base64url"));
    return await this.#sendTagged(reply, etag, hasAlready(request.headers["if-none-match"], etag) ? null : text);
  }

  /** Sends what is JSON already and is nobody else's answer. */
  sendText(reply: FastifyReply, text: string | Buffer): Promise<FastifyReply> {
    return this.#turnstile.pass(() => sendJson(reply, text));
  }

  /** Without a text: the client has it already. */
  #sendTagged(reply: FastifyReply, etag: string, text: string | Buffer | null): Promise<FastifyReply> {
    return this.#turnstile.pass(() => {
      void reply.headers({ etag, "cache-control": "private, no-cache" });
      return text === null ? reply.code(304).send() : sendJson(reply, text);
    });
  }

  #etagOf({ name, version }: Question): string {
    const kept = this.#kept.get(name);
    if (kept?.version === version) return kept.etag;
    const hash = createHash("sha256").update(JSON.stringify([this.#process, name, version]));
    return strongEtag(hash.digest("base64url"));
  }

  #textOf(question: Question, etag: string): Promise<Buffer> {
    const { name, version } = question;
    const before = this.#kept.get(name);
    if (before) this.#forget(name, before);
    const kept = before?.version === version ? before : this.#write(question, etag);
    this.#kept.set(name, kept);
    this.#bytes += kept.bytes;
    this.#forgetOldest();
    return kept.text;
  }

  #write({ name, version, pieces }: Question, etag: string): Kept {
    const text = this.#last.then(() => textInTurns(pieces(), this.#clock));
    const kept: Kept = { version, etag, text, bytes: 0 };
    this.#last = this.#weigh(name, kept);
    return kept;
  }

  async #weigh(name: string, kept: Kept): Promise<void> {
    const isKept = () => this.#kept.get(name) === kept;
    try {
      kept.bytes = (await kept.text).length;
      if (isKept()) this.#bytes += kept.bytes;
    } catch {
      // Whoever asked is told; whoever asks next tries anew.
      if (isKept()) this.#forget(name, kept);
    }
  }

  #forgetOldest(): void {
    for (const [name, kept] of this.#kept) {
      if (this.#kept.size === 1 || (this.#kept.size <= MOST_TEXTS && this.#bytes <= MOST_BYTES)) return;
      this.#forget(name, kept);
    }
  }

  #forget(name: string, kept: Kept): void {
    this.#kept.delete(name);
    this.#bytes -= kept.bytes;
  }
}

function sendJson(reply: FastifyReply, text: string | Buffer): FastifyReply {
  return reply.type("application/json; charset=utf-8").send(text);
}
