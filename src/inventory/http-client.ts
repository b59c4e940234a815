import { Agent, type Dispatcher, request } from "undici";
import { FssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";

export interface HttpLimits {
  /** Milliseconds until the connection stands. */
  readonly connectTimeout: number;
  /** Milliseconds until the first byte, and between two bytes. */
  readonly idleTimeout: number;
  /** Milliseconds for the whole answer, redirects included. */
  readonly totalTimeout: number;
}

const HTTP_LIMITS: HttpLimits = { connectTimeout: 10_000, idleTimeout: 15_000, totalTimeout: 30_000 };

/** Requests at a time, over all queries of one inventory. */
export const CONNECTIONS = 8;

const REDIRECTS = 3;

export interface GetOptions {
  readonly authorization?: string | undefined;
  readonly largest: number;
  readonly signal: AbortSignal;
}

/** Thrown when there was no answer at all: the next query will hardly have one either. */
export class NoAnswer extends FssyncError {
  constructor(message: string, cause: unknown) {
    super("InventoryFailed", message, { cause });
  }
}

/** GET of JSON, distrustful: bounded in time and bytes, and with the query left out of messages. */
export class HttpClient implements AsyncDisposable {
  readonly #agent: Agent;
  readonly #limits: HttpLimits;
  readonly #clock: Clock;

  constructor({ clock, limits = HTTP_LIMITS }: { clock: Clock; limits?: HttpLimits }) {
    this.#clock = clock;
    this.#limits = limits;
    this.#agent = new Agent({
      connections: CONNECTIONS,
      pipelining: 1,
      headersTimeout: limits.idleTimeout,
      bodyTimeout: limits.idleTimeout,
      keepAliveTimeout: 4000,
      connect: { timeout: limits.connectTimeout },
    });
  }

  /** Throws InventoryFailed; NoAnswer when nobody answered. */
  async getJson(url: URL, { authorization, largest, signal }: GetOptions): Promise<unknown> {
    const total = new AbortController();
    using _timer = this.#clock.after(this.#limits.totalTimeout, () => total.abort());
    const either = AbortSignal.any([signal, total.signal]);
    try {
      return await this.#follow(url, { authorization, largest, signal: either });
    } catch (error) {
      if (error instanceof FssyncError) throw error;
      const why = total.signal.aborted
        ? `gave no whole answer in ${this.#limits.totalTimeout / 1000} s`
        : reasonOf(error);
      throw new NoAnswer(`${shown(url)} ${why}`, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  /** Redirects only within the origin: the credentials are for it alone. */
  async #follow(start: URL, options: GetOptions): Promise<unknown> {
    let url = start;
    for (let hop = 0; hop <= REDIRECTS; hop += 1) {
      const response = await this.#get(url, options);
      const { statusCode } = response;
      if (statusCode === 200) return readJson(response, url, options.largest);
      response.body.on("error", () => {}).destroy();
      if (![301, 302, 303, 307, 308].includes(statusCode)) throw refused(url, statusCode);
      const next = URL.parse(String(response.headers["location"] ?? ""), url.href);
      if (next?.origin !== url.origin)
        throw failed(url, `redirects to ${next?.origin ?? "nowhere"}; only its own origin is followed`);
      url = next;
    }
    throw failed(start, `redirects more than ${REDIRECTS} times`);
  }

  #get(url: URL, { authorization, signal }: GetOptions): Promise<Dispatcher.ResponseData> {
    const headers = { accept: "application/json", ...(authorization !== undefined && { authorization }) };
    return request(url, { method: "GET", headers, dispatcher: this.#agent, signal });
  }
}

async function readJson(response: Dispatcher.ResponseData, url: URL, largest: number): Promise<unknown> {
  const text = await readText(response, url, largest);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Not the parser's message: it quotes what was received.
    const type = /^[\w.+/-]{1,60}/.exec(String(response.headers["content-type"] ?? ""))?.[0];
    throw failed(
      url,
      `answered with something that is no JSON (${type ?? "no content type"}, ${text.length} characters)`,
    );
  }
}

async function readText({ body, headers }: Dispatcher.ResponseData, url: URL, largest: number): Promise<string> {
  const encoding = headers["content-encoding"];
  const chunks: Buffer[] = [];
  let size = Number(headers["content-length"] ?? 0) > largest ? Infinity : 0;
  // Leaving the loop destroys the body, and with it the socket.
  if (encoding === undefined || encoding === "identity") {
    for await (const chunk of size > largest ? [] : body) {
      size += (chunk as Buffer).length;
      if (size > largest) break;
      chunks.push(chunk as Buffer);
    }
  }
  body.on("error", () => {}).destroy();
  if (encoding !== undefined && encoding !== "identity")
    throw failed(url, "answered compressed, without being asked to");
  if (size > largest) throw failed(url, `answered with more than ${largest / (1024 * 1024)} MiB`);
  return Buffer.concat(chunks).toString("utf8");
}

function refused(url: URL, statusCode: number): FssyncError {
  const hint = statusCode === 401 || statusCode === 403 ? "; check the Secret" : "";
  return failed(url, `answered ${statusCode}${hint}`);
}

function failed(url: URL, why: string): FssyncError {
  return new FssyncError("InventoryFailed", `${shown(url)} ${why}`);
}

/** Without query: some CMDBs want their token there. */
function shown(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_CONNECT_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
      return "does not answer in time";
    case "UND_ERR_SOCKET":
    case "UND_ERR_RES_CONTENT_LENGTH_MISMATCH":
    case "ECONNRESET":
      return "broke off its answer";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "has a name that DNS does not know";
    case "ECONNREFUSED":
      return "refuses the connection";
    default:
      return `cannot be asked: ${code ?? message}`;
  }
}
