import { REASONS, type FssyncError } from "../model/errors.ts";
import type { Failure } from "../model/record.ts";

/** The failure that a record holds after an attempt, or a look (`verifying`), that ended with this error. */
export function failureAfter(
  before: Failure | null,
  error: Pick<FssyncError, "reason" | "message">,
  { at, verifying = false }: { at: number; verifying?: boolean },
): Failure {
  const { reason, message } = error;
  const { state, retry } = REASONS[reason];
  // What is held on purpose is looked at again and again; it did not fail anew.
  const same = before?.reason === reason && before.message === message && (before.verifying ?? false) === verifying;
  if (before && same && !retry) return before;
  const attempts = (before?.attempts ?? 0) + 1;
  return { state, reason, message, at, attempts, ...(verifying ? { verifying } : {}) };
}
