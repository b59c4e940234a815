import { rememberedDrift, type Drift, type ReplacedFile } from "../model/drift.ts";
import type { AppRecord } from "../model/record.ts";
import type { AppPlan } from "../plan/host-plan.ts";
import type { FoundReplaced } from "../ports/transport.ts";
import type { AppOutcome } from "./host-reconciler.ts";

/** What an attempt laid over hand-made changes, with the verdict: what Git had changed too is a conflict. */
export function replacedFiles(
  { replaces }: Pick<AppPlan, "replaces">,
  found: readonly FoundReplaced[],
  at: number,
): ReplacedFile[] {
  const byGit = new Set(replaces.filter(({ changed }) => changed).map(({ path }) => path));
  return found.map(({ path, kept }) => ({
    path,
    change: byGit.has(path) ? "conflict" : "content",
    at,
    ...(kept === undefined ? {} : { kept }),
  }));
}

/** The record with what is known of drift after an attempt: what was laid over is not drifted any more. */
export function driftAfter(record: AppRecord, outcome: AppOutcome, now: number): AppRecord {
  const { desired, error, laid, replaced } = outcome;
  const { drift } = record;
  if (!drift && replaced.length === 0) return record;
  const right = new Set(error || !laid ? [] : [...laid.send.map(({ path }) => path), ...laid.delete]);
  const files = drift?.files.filter(({ path }) => !right.has(path)) ?? [];
  const everything = !error && laid?.send.length === desired.manifest.length;
  const unseen = drift && !everything ? drift.count - drift.files.length : 0;
  if (drift && files.length + unseen === drift.count && replaced.length === 0) return record;
  return withDrift(record, rememberedDrift(files, [...(drift?.replaced ?? []), ...replaced], now, unseen));
}

export function withDrift(record: AppRecord, drift: Drift | undefined): AppRecord {
  if (drift) return { ...record, drift };
  const next: { -readonly [Field in keyof AppRecord]: AppRecord[Field] } = { ...record };
  delete next.drift;
  return next;
}
