import { Agent } from "undici";
import { FssyncError } from "../../model/errors.ts";
import { isLoopback } from "../auth/loopback.ts";
import { refusal } from "./refusal.ts";
import { unanswered } from "./unanswered.ts";

export interface ApiClientOptions {
  /** `https://fssync.example.com`; a path before the API's is kept. */
  readonly server: string;
  readonly token?: string | undefined;
  /** Certificates that the server's is signed by, PEM; the system's when absent. */
  readonly ca?: string | undefined;
}

const CONNECT_TIMEOUT = 10_000;
/** Of silence: a sync is waited for in pieces, so that no answer takes longer. */
const ANSWER_TIMEOUT = 60_000;

/** Asks the API of a controller. The constructor throws InvalidSpec, and starts nothing. */
export class ApiClient implements AsyncDisposable {
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent: Agent;

  constructor({ server, token, ca }: ApiClientOptions) {
    this.#url = serverUrl(server);
    if (token !== undefined) checkToken(token, this.#url);
    this.#headers = { accept: "application/json", ...(token && { authorization: `Bearer ${token}` }) };
    this.#agent = new Agent({
      connect: { timeout: CONNECT_TIMEOUT, ...(ca !== undefined && { ca }) },
      headersTimeout: ANSWER_TIMEOUT,
      bodyTimeout: ANSWER_TIMEOUT,
    });
  }

  /** For people. */
  get server(): string {
    return this.#url.href.replace(/\/$/, "");
  }

  /** `path` begins with a slash. Throws what the controller says of a request that was not done, NoController, ControllerLost. */
  get<Answer>(path: string, signal: AbortSignal): Promise<Answer> {
    return this.#ask({ method: "GET", path }, signal);
  }

  post<Answer>(path: string, body: object, signal: AbortSignal): Promise<Answer> {
    return this.#ask({ method: "POST", path, body: JSON.stringify(body) }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  async #ask<Answer>(
    { method, path, body }: { method: "GET" | "POST"; path: string; body?: string },
    signal: AbortSignal,
  ): Promise<Answer> {
    const headers = { ...this.#headers, ...(body !== undefined && { "content-type": "application/json" }) };
    const request = { origin: this.#url.origin, path: this.#pathOf(path), method, headers, signal, body: body ?? null };
    let status: number;
    let text: string;
    let retryAfter: string | undefined;
    try {
      const answer = await this.#agent.request(request);
      status = answer.statusCode;
      retryAfter = answer.headers["retry-after"]?.toString();
      text = await answer.body.text();
    } catch (error) {
      if (signal.aborted) throw new FssyncError("Interrupted", `stopped before ${this.server} had answered`);
      throw unanswered(this.server, error);
    }
    const answer = jsonOf(text);
    if (status >= 200 && status < 300 && answer !== undefined) return answer as Answer;
    throw refusal(this.server, status, answer, retryAfter);
  }

  #pathOf(path: string): string {
    return `${this.#url.pathname.replace(/\/$/, "")}${path}`;
  }
}

function serverUrl(text: string): URL {
  const wrong = (why: string) => new FssyncError("InvalidSpec", `--server ${text}: ${why}`);
  if (!URL.canParse(text)) throw wrong("expected a URL, for example https://fssync.example.com");
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw wrong("expected https:// or http://");
  // It would be seen in the list of processes, and in every message.
  if (url.username !== "" || url.password !== "") {
    throw new FssyncError("InvalidSpec", "--server: a login does not belong into the URL; use --token-file");
  }
  if (url.search !== "" || url.hash !== "") throw wrong("expected no query and no fragment");
  return url;
}

function checkToken(token: string, { protocol, hostname, origin }: URL): void {
  if (!/^[\u0021-\u007e]+$/.test(token)) {
    throw new FssyncError("InvalidSpec", "the token for --server: expected one line of printable characters");
  }
  if (protocol === "https:" || isLoopback(hostname)) return;
  throw new FssyncError(
    "InvalidSpec",
    `--server ${origin}: the token would go to ${hostname} in the clear, for everybody between to read; use https`,
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
