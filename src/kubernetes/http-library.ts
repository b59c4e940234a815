import { HttpMethod, RequestContext, ResponseContext, type PromiseHttpLibrary } from "@kubernetes/client-node";
import { request, type Dispatcher } from "undici";
import { refused, unanswered, type ApiAnswer } from "./api-error.ts";
import type { SharedKubeConfig } from "./kube-config.ts";

/** Milliseconds for a whole request, unless its caller says otherwise: an API server that hangs must not hang us. */
export const REQUEST_TIMEOUT = 10_000;

/**
 * What the generated clients send through, instead of a `fetch` per request with a dispatcher of its own:
 * half the work, a time limit over the whole request, bodies read to their end. Throws ApiError.
 */
export class ApiHttpLibrary implements PromiseHttpLibrary {
  readonly #config: SharedKubeConfig;

  constructor(config: SharedKubeConfig) {
    this.#config = config;
  }

  async send(context: RequestContext): Promise<ResponseContext> {
    const url = context.getUrl();
    const { status, headers, body } = await answerTo(this.#config.dispatchers.requests, {
      method: context.getHttpMethod(),
      url,
      headers: context.getHeaders(),
      body: (context.getBody() as string | undefined) ?? null,
      signal: context.getSignal(),
    });
    const text = Promise.resolve(body);
    return new ResponseContext(status, headers as Record<string, string>, {
      text: () => text,
      binary: async () => Buffer.from(body),
      stream: () => null,
    });
  }
}

export interface Call {
  readonly method: Dispatcher.HttpMethod;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
  /** The caller's own limit; without it REQUEST_TIMEOUT. */
  readonly signal?: AbortSignal | undefined;
}

/** Sends a request and reads the whole answer; what is not a success is thrown. */
export async function answerTo(
  dispatcher: Dispatcher,
  { method, url, headers, body, signal }: Call,
): Promise<ApiAnswer> {
  const limit = new AbortController();
  const timer = signal ? undefined : setTimeout(() => limit.abort(tooLate()), REQUEST_TIMEOUT);
  const end = signal ?? limit.signal;
  const asked = { method, path: new URL(url).pathname };
  let answer: ApiAnswer;
  try {
    answer = await unlessAborted(end, async () => {
      const response = await request(url, { method, headers, body, dispatcher, signal: end });
      return { status: response.statusCode, headers: response.headers, body: await response.body.text() };
    });
  } catch (error) {
    throw unanswered(error, asked, signal);
  } finally {
    clearTimeout(timer);
  }
  if (answer.status < 200 || answer.status > 299) throw refused(answer, asked);
  return answer;
}

/** undici notices an abort only when the request has a connection, and it may wait for one. */
export async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  const working = work();
  // When the abort wins, nobody else hears of its end.
  working.catch(() => {});
  try {
    return await Promise.race([working, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Headers and dispatchers for a request that no generated client makes. */
export async function authenticated(config: SharedKubeConfig, url: string): Promise<Record<string, string>> {
  const context = new RequestContext(url, HttpMethod.GET);
  await config.applySecurityAuthentication(context);
  return context.getHeaders();
}

export function tooLate(): DOMException {
  return new DOMException("no answer within the time limit", "TimeoutError");
}
