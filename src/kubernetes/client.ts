import {
  CoordinationV1Api,
  CoreV1Api,
  createConfiguration,
  CustomObjectsApi,
  PatchStrategy,
  ServerConfiguration,
  wrapHttpLibrary,
  type Configuration,
  Observable,
  type ObservableMiddleware,
  type ConfigurationOptions,
} from "@kubernetes/client-node";
import { request, type Dispatcher } from "undici";
import { ApiError, refused, unanswered } from "./api-error.ts";
import { answerTo, ApiHttpLibrary, authenticated, REQUEST_TIMEOUT, tooLate, unlessAborted } from "./http-library.ts";
import { loadKubeConfig, namespaceOf, type SharedKubeConfig } from "./kube-config.ts";

export interface RequestOptions {
  /** Milliseconds for the whole request; 10 s unless given. */
  readonly timeout?: number;
  /** Ends the request before; it then fails with `Interrupted`. */
  readonly signal?: AbortSignal;
  /** For PATCH: the body is a merge patch. */
  readonly mergePatch?: boolean;
}

export interface JsonRequest extends RequestOptions {
  readonly method?: Dispatcher.HttpMethod;
  readonly query?: Query;
  readonly body?: unknown;
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** An answer that goes on: whoever gets it reads it to its end or destroys it. */
export type OpenAnswer = Dispatcher.ResponseData["body"];

/**
 * The one way to the API server. Every request has a time limit, and what fails is thrown as ApiError,
 * whichever of the clients was used.
 */
export class KubeClient implements AsyncDisposable {
  readonly config: SharedKubeConfig;
  readonly custom: CustomObjectsApi;
  readonly core: CoreV1Api;
  readonly coordination: CoordinationV1Api;
  /** The namespace of the kubeconfig's context; in a pod the pod's; else "default". */
  readonly namespace: string;
  readonly #server: string;

  constructor({ config }: { config: SharedKubeConfig }) {
    this.config = config;
    this.namespace = namespaceOf(config);
    this.#server = (config.getCurrentCluster()?.server ?? "").replace(/\/+$/, "");
    this.custom = this.make(CustomObjectsApi);
    this.core = this.make(CoreV1Api);
    this.coordination = this.make(CoordinationV1Api);
  }

  /** The cluster that the surroundings name; throws `KubeconfigInvalid` with what was tried. */
  static load(): KubeClient {
    return new KubeClient({ config: loadKubeConfig() });
  }

  /** Another of client-node's generated clients, on the same connections. */
  make<Api>(api: new (configuration: Configuration) => Api): Api {
    return new api(
      createConfiguration({
        baseServer: new ServerConfiguration(this.#server, {}),
        authMethods: { default: this.config },
        httpApi: wrapHttpLibrary(new ApiHttpLibrary(this.config)),
      }),
    );
  }

  /** A request of a path that begins with /api or /apis; returns the answer's JSON as it is. */
  async json(path: string, { method = "GET", query, body, mergePatch, ...limits }: JsonRequest = {}): Promise<unknown> {
    const url = this.#url(path, query);
    const headers = await authenticated(this.config, url);
    headers["Accept"] = "application/json";
    if (body !== undefined) headers["Content-Type"] = mergePatch ? PatchStrategy.MergePatch : "application/json";
    const answer = await answerTo(this.config.dispatchers.requests, {
      method,
      url,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: needsSignal(limits) ? limitOf(limits) : undefined,
    });
    return JSON.parse(answer.body);
  }

  /**
   * Opens an answer that goes on (a watch), on a connection that no other request waits for. `timeout` is
   * for its beginning only; the signal ends it at any time.
   */
  async open(path: string, { query, signal, timeout = REQUEST_TIMEOUT }: OpenRequest): Promise<OpenAnswer> {
    const url = this.#url(path, query);
    const asked = { method: "GET", path };
    const headers = await authenticated(this.config, url);
    const beginning = new AbortController();
    const timer = setTimeout(() => beginning.abort(tooLate()), timeout);
    const end = AbortSignal.any([signal, beginning.signal]);
    try {
      const response = await unlessAborted(end, () =>
        request(url, {
          headers: { ...headers, Accept: "application/json" },
          dispatcher: this.config.dispatchers.watches,
          signal: end,
          headersTimeout: 0,
          bodyTimeout: 0,
        }),
      );
      if (response.statusCode === 200) return response.body;
      const body = await response.body.text();
      throw refused({ status: response.statusCode, headers: response.headers, body }, asked);
    } catch (error) {
      throw error instanceof ApiError ? error : unanswered(error, asked, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends every connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.config[Symbol.asyncDispose]();
  }

  #url(path: string, query: Query = {}): string {
    const url = new URL(`${this.#server}${path}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return url.toString();
  }
}

export interface OpenRequest {
  readonly query?: Query;
  readonly signal: AbortSignal;
  readonly timeout?: number;
}

/** The last argument of a generated client's call. */
export function requestOptions(options: RequestOptions): ConfigurationOptions {
  const middleware: ObservableMiddleware = {
    pre(context) {
      if (options.mergePatch) context.setHeaderParam("Content-Type", PatchStrategy.MergePatch);
      if (needsSignal(options)) context.setSignal(limitOf(options));
      return new Observable(Promise.resolve(context));
    },
    post: (context) => new Observable(Promise.resolve(context)),
  };
  return { middleware: [middleware], middlewareMergeStrategy: "append" };
}

/** The generated clients take the first content type they know: for a merge patch it must be said. */
export const mergePatch: ConfigurationOptions = requestOptions({ mergePatch: true });

function needsSignal({ signal, timeout }: RequestOptions): boolean {
  return signal !== undefined || timeout !== undefined;
}

function limitOf({ signal, timeout = REQUEST_TIMEOUT }: RequestOptions): AbortSignal {
  // It takes whole milliseconds only.
  const late = AbortSignal.timeout(Math.max(1, Math.ceil(timeout)));
  return signal ? AbortSignal.any([signal, late]) : late;
}
