import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import { rememberedDrift, type Drift, type ReplacedFile } from "../model/drift.ts";
import type { HostKey } from "../model/host.ts";
import { displayPath } from "../model/path.ts";
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
  // What the app does not have any more is not its matter: another app may have it now.
  const own = new Set(desired.manifest.map(({ path }) => path));
  const files = drift?.files.filter(({ path }) => !right.has(path) && (error !== null || own.has(path))) ?? [];
  const everything = !error && laid?.send.length === desired.manifest.length;
  const unseen = drift && !everything ? drift.count - drift.files.length : 0;
  if (drift && files.length + unseen === drift.count && replaced.length === 0) return record;
  return withDrift(record, rememberedDrift(files, withReplaced(record, replaced, now), now, unseen));
}

/** Everything that was laid over, this included. One edit that attempts meet again and again until one works counts once. */
export function withReplaced(
  record: AppRecord,
  replaced: readonly ReplacedFile[],
  at: number,
): readonly ReplacedFile[] {
  const again = new Set(replaced.map(versionOf));
  const met = metBefore(record);
  const earlier =
    record.drift?.replaced.filter((file) => !(met.has(versionOf(file)) && again.has(versionOf(file)))) ?? [];
  return [...earlier, ...replaced.map((file) => ({ ...file, at }))];
}

/** Of what an attempt found changed, what the failed attempts before had not found already. */
export function firstReplaced(
  before: AppRecord | undefined,
  replaced: readonly ReplacedFile[],
): readonly ReplacedFile[] {
  const met = metBefore(before);
  return replaced.filter((file) => !met.has(versionOf(file)));
}

/** After a failure the host has the same edit still, and keeps it under the same name. After a success it is a new one. */
function metBefore(record: AppRecord | undefined): ReadonlySet<string> {
  return new Set(record?.failure ? record.drift?.replaced.filter(({ kept }) => kept !== undefined).map(versionOf) : []);
}

/** What an attempt that failed can say: where versions are kept. Whether anything was laid over the files nobody knows. */
export function keptOnly(replaced: readonly ReplacedFile[]): ReplacedFile[] {
  return replaced.filter(({ kept }) => kept !== undefined);
}

function versionOf({ path, kept }: ReplacedFile): string {
  return `${path}\0${kept ?? ""}`;
}

export function withDrift(record: AppRecord, drift: Drift | undefined): AppRecord {
  if (drift) return { ...record, drift };
  const next: { -readonly [Field in keyof AppRecord]: AppRecord[Field] } = { ...record };
  delete next.drift;
  return next;
}

/** For when the record was refused: the next attempt finds these files right, and nobody could say any more where their versions are. */
export function logUnrecorded(
  log: Logger,
  host: HostKey,
  replaced: Iterable<readonly [app: AppKey, files: readonly ReplacedFile[]]>,
): void {
  for (const [app, found] of replaced) {
    const files = found.map(
      ({ path, kept }) => `/${displayPath(path)}${kept ? ` (kept as ${displayPath(kept)})` : ""}`,
    );
    const facts = { event: "ConfigDriftDetected", host, app, count: files.length, files };
    if (files.length > 0) log.warn(facts, "files changed by hand were laid over, and the store did not take it");
  }
}
