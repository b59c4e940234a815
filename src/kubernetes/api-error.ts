import { ApiException } from "@kubernetes/client-node";
import { FssyncError, type Reason } from "../model/errors.ts";
import { GROUP } from "./objects.ts";

export interface ApiErrorDetails {
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Milliseconds that the API server asks to wait, null when it does not say. */
  readonly retryAfter: number | null;
}

/** What the API server refused or could not do, in one line that an operator can act on. */
export class ApiError extends FssyncError implements ApiErrorDetails {
  readonly status: number;
  readonly retryAfter: number | null;

  constructor(reason: Reason, message: string, { status, retryAfter, cause }: ApiErrorDetails & { cause?: unknown }) {
    super(reason, message, { cause });
    this.name = "ApiError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The request that failed: `path` is without its query. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** The part of a Kubernetes Status that we read; a proxy in front may answer with something else. */
interface Status {
  readonly kind?: unknown;
  readonly message?: string;
  readonly details?: { readonly retryAfterSeconds?: unknown } | null;
}

/** Whatever a call to the API server throws. */
export function apiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof ApiException) {
    const body: unknown = thrown.body;
    const text = typeof body === "string" ? body : JSON.stringify(body ?? "");
    return refused({ status: thrown.code, headers: thrown.headers, body: text });
  }
  return unanswered(thrown);
}

/** An answer that is not a success. */
export function refused(answer: ApiAnswer, request?: ApiRequest): ApiError {
  const status = parseStatus(answer.body);
  const said = status === undefined ? firstLine(answer.body) : (status.message ?? "");
  const where = request ? `${request.method} ${request.path}: ` : "";
  return new ApiError(reasonOf(answer.status, status, request), `${where}${describe(answer, said, status, request)}`, {
    status: answer.status,
    retryAfter: retryAfterOf(answer, status),
  });
}

/** No answer at all: refused, lost, too late. An abort by the caller's signal is `Interrupted`. */
export function unanswered(thrown: unknown, request?: ApiRequest, signal?: AbortSignal | null): ApiError {
  const where = request ? `${request.method} ${request.path}: ` : "";
  const name = thrown instanceof Error ? thrown.name : "";
  const interrupted = name === "AbortError" || (signal?.aborted === true && name !== "TimeoutError");
  const what = name === "TimeoutError" ? "no answer within the time limit" : causes(thrown);
  return new ApiError(interrupted ? "Interrupted" : "KubernetesUnavailable", `${where}${what}`, {
    status: 0,
    retryAfter: null,
    cause: thrown,
  });
}

export function isNotFound(error: ApiError): boolean {
  return error.status === 404;
}

/** The object was changed, or made, by somebody else. */
export function isConflict(error: ApiError): boolean {
  return error.status === 409;
}

/** The resource version or the continue token is too old: list anew. */
export function isGone(error: ApiError): boolean {
  return error.status === 410;
}

export function isForbidden(error: ApiError): boolean {
  return error.status === 401 || error.status === 403;
}

/** Worth the same request again: no answer, too many requests, a fault of the server's. */
export function isTransient(error: ApiError): boolean {
  return error.reason === "KubernetesUnavailable";
}

function reasonOf(code: number, status: Status | undefined, request: ApiRequest | undefined): Reason {
  if (code === 401) return "KubernetesUnauthorized";
  if (code === 403) return "KubernetesForbidden";
  if (code === 404 && status === undefined && request?.path.startsWith(`/apis/${GROUP}/`)) return "CrdMissing";
  return code === 408 || code === 429 || code >= 500 ? "KubernetesUnavailable" : "Internal";
}

function describe(answer: ApiAnswer, said: string, status: Status | undefined, request?: ApiRequest): string {
  if (answer.status === 401)
    return "401: the API server does not know this ServiceAccount or user; its token is not valid";
  if (answer.status === 403) return `403: ${lackOf(said) ?? said}`;
  if (reasonOf(answer.status, status, request) === "CrdMissing") {
    return `404: the cluster does not know the custom resources of ${GROUP}; install the CRDs`;
  }
  return `${answer.status}${said === "" ? "" : `: ${said}`}`;
}

const FORBIDDEN =
  /User "(?<user>[^"]*)" cannot (?<verb>\S+) resource "(?<resource>[^"]*)" in API group "(?<group>[^"]*)"(?: in the namespace "(?<namespace>[^"]*)")?/;

/** The API server's words for a missing RBAC rule, as what to add and where. */
function lackOf(said: string): string | undefined {
  const groups = FORBIDDEN.exec(said)?.groups;
  if (!groups) return undefined;
  const { user = "", verb = "", resource = "", group = "", namespace } = groups;
  const account = user.replace(/^system:serviceaccount:([^:]+):(.+)$/, "ServiceAccount $1/$2");
  const where = namespace === undefined ? "in the whole cluster (a ClusterRole)" : `in namespace ${namespace}`;
  return `${account} may not ${verb} ${resource}${group === "" ? "" : `.${group}`} ${where}; add the verb to its Role`;
}

function retryAfterOf({ headers }: ApiAnswer, status: Status | undefined): number | null {
  const seconds = Number(headers["retry-after"] ?? status?.details?.retryAfterSeconds ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null;
}

function parseStatus(body: string): Status | undefined {
  try {
    const parsed = JSON.parse(body) as Status | null;
    return parsed?.kind === "Status" ? parsed : undefined;
  } catch {
    return undefined;
  }
}

const LONGEST_LINE = 300;

function firstLine(text: string): string {
  return (text.trim().split("\n")[0] ?? "").slice(0, LONGEST_LINE);
}

/** "fetch failed" says nothing; its causes do. */
function causes(thrown: unknown): string {
  const said: string[] = [];
  for (let error = thrown; error instanceof Error && said.length < 4; error = error.cause) {
    const inner = error instanceof AggregateError ? error.errors.map((each) => firstLine(String(each))).join(", ") : "";
    said.push(firstLine(error.message || inner || error.name));
  }
  return said.length > 0 ? [...new Set(said)].join(": ") : firstLine(String(thrown));
}
