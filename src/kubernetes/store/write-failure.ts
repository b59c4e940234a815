import { asFssyncError, REASONS } from "../../model/errors.ts";
import { ApiError } from "../api-error.ts";
import { ForeignObject } from "./adopt.ts";

/**
 * What a failed write asks for. `away`: nobody answers. `overloaded`: all wait for `after` ms.
 * `again`: soon. `slow`: only a person can mend it.
 */
export type FailureKind = "away" | "overloaded" | "again" | "slow";

export interface WriteFailure {
  readonly kind: FailureKind;
  /** Milliseconds that the API server asked for. */
  readonly after: number | null;
  readonly status: number;
  readonly message: string;
  /** What a person can do. */
  readonly next: string;
}

export function writeFailure(thrown: unknown): WriteFailure {
  const { reason, message } = asFssyncError(thrown);
  const { next } = REASONS[reason];
  if (thrown instanceof ForeignObject) return { kind: "slow", after: null, status: 0, message, next: thrown.next };
  // No answer that a server gave: a mistake of ours must not look like a server that is away.
  if (!(thrown instanceof ApiError)) return { kind: "slow", after: null, status: -1, message, next };
  const { status, retryAfter } = thrown;
  return { kind: kindOf(status), after: retryAfter, status, message, next: adviceFor(status) ?? next };
}

function kindOf(status: number): FailureKind {
  if (status === 0) return "away";
  if (status === 429) return "overloaded";
  // 401: a token that is being rotated; 409: somebody else is quicker all the time.
  return status >= 500 || status === 401 || status === 408 || status === 409 ? "again" : "slow";
}

function adviceFor(status: number): string | undefined {
  if (status === 413) return "Put fewer apps on the host, or raise the API server's limit for objects.";
  if (status === 400 || status === 422) return "Bring the CRDs up to date: `helm upgrade`, or apply them anew.";
  return undefined;
}
