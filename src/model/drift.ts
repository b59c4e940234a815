/** How a file on a host differs from what fssync put there, worst to tell first: the first that holds is told. */
export const DRIFT_CHANGES = ["conflict", "missing", "type", "content", "owner", "mode"] as const;

/** `conflict`: changed on the host and in Git. `owner` is owner or group; `type` is what the file is (a folder, a link). */
export type DriftChange = (typeof DRIFT_CHANGES)[number];

/** A file that somebody else changed on the host. Times are milliseconds since the epoch. */
export interface DriftedFile {
  readonly path: string;
  readonly change: DriftChange;
  /** When it was first seen. */
  readonly since: number;
}

/** A file that somebody else had changed and that fssync has laid its own over. */
export interface ReplacedFile {
  readonly path: string;
  readonly change: DriftChange;
  readonly at: number;
  /** Where on the host its version was kept, an absolute path; absent when it was not kept. */
  readonly kept?: string;
}

/** What is known of hand-made changes to one app on one host. */
export interface Drift {
  /** As the last look found them, worst first; the first `MAX_DRIFTED_FILES` of them. */
  readonly files: readonly DriftedFile[];
  /** How many there are in all. */
  readonly count: number;
  /** Those of the last day, oldest first; at most `MAX_REPLACED_FILES`, rather of files that drift again and again. */
  readonly replaced: readonly ReplacedFile[];
}

export const MAX_DRIFTED_FILES = 100;
export const MAX_REPLACED_FILES = 50;

const DAY = 86_400_000;

/** A file that drifts so often within a day has somebody who changes it again and again. */
const RECURRING = 3;

/** The paths that drifted three times or more within the day before `now`: what was replaced counts, and what differs now. */
export function recurringPaths({ files, replaced }: Drift, now: number): string[] {
  const times = new Map<string, number>();
  const paths = [...replaced.filter(({ at }) => now - at < DAY), ...files].map(({ path }) => path);
  for (const path of paths) times.set(path, (times.get(path) ?? 0) + 1);
  return [...times].filter(([, count]) => count >= RECURRING).map(([path]) => path);
}

/** What is to be remembered: undefined when that is nothing. `unseen` are drifted files that are not listed. */
export function rememberedDrift(
  files: readonly DriftedFile[],
  replaced: readonly ReplacedFile[],
  now: number,
  unseen = 0,
): Drift | undefined {
  const recent = foremost(replaced.filter(({ at }) => now - at < DAY));
  const count = files.length + unseen;
  if (count + recent.length === 0) return undefined;
  return { files: files.slice(0, MAX_DRIFTED_FILES), count, replaced: recent };
}

/** When there are too many: the newest of each path, first of those that were replaced most often, so that what recurs cannot hide. */
function foremost(replaced: readonly ReplacedFile[]): readonly ReplacedFile[] {
  if (replaced.length <= MAX_REPLACED_FILES) return replaced;
  const byPath = [...Map.groupBy(replaced, ({ path }) => path).values()].map((times) => times.slice(-RECURRING));
  const newest = (times: readonly ReplacedFile[]) => times.at(-1)!.at;
  const ordered = byPath.toSorted((a, b) => b.length - a.length || newest(b) - newest(a));
  const kept = new Set(ordered.flat().slice(0, MAX_REPLACED_FILES));
  return replaced.filter((file) => kept.has(file));
}
