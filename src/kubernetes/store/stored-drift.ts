import { z } from "zod";
import { DriftedFile, DriftOnHost, ReplacedFile } from "../../config/resources.ts";
import type { Drift } from "../../model/drift.ts";
import { timeText } from "../conditions.ts";
import { pathText, textPath, textTime } from "./text.ts";

/**
 * Keys that are not known are passed over. What cannot be read is not known, and keeps nothing else of the
 * host from being read: the next look tells it anew.
 */
export const StoredDrift = z
  .object({
    ...DriftOnHost.shape,
    files: z.array(z.object(DriftedFile.shape)).optional(),
    replaced: z.array(z.object(ReplacedFile.shape)).optional(),
  })
  .optional()
  .catch(undefined);

/** API servers refuse empty texts now and then, and an empty list says nothing: neither is written. */
export function driftOnHost({ files, count, replaced }: Drift): DriftOnHost {
  return {
    count,
    ...(files.length > 0 && {
      files: files.map(({ path, change, since }) => ({ path: pathText(path), change, since: timeText(since) })),
    }),
    ...(replaced.length > 0 && {
      replaced: replaced.map(({ path, change, at, kept }) => ({
        path: pathText(path),
        change,
        at: timeText(at),
        ...(kept !== undefined && { kept: pathText(kept) }),
      })),
    }),
  };
}

/** Undefined for what `driftOnHost` did not write. */
export function readDrift({ count, files = [], replaced = [] }: DriftOnHost): Drift | undefined {
  try {
    return {
      files: files.map(({ path, change, since }) => ({ path: textPath(path), change, since: textTime(since) })),
      count,
      replaced: replaced.map(({ path, change, at, kept }) => ({
        path: textPath(path),
        change,
        at: textTime(at),
        ...(kept !== undefined && { kept: textPath(kept) }),
      })),
    };
  } catch {
    return undefined;
  }
}
