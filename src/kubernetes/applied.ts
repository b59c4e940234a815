import type { AppRecord } from "../model/record.ts";
import { lags, type DesiredDigest } from "../plan/state.ts";

/**
 * Whether what Git wants was brought to the host, whatever somebody made of it there since: a rollout is
 * done when it was brought everywhere.
 */
export function isApplied(record: AppRecord | undefined, desired: DesiredDigest | undefined): boolean {
  return desired !== undefined && !desired.refused && !lags(record, desired);
}
