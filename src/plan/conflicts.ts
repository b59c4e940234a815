import type { AppKey } from "../model/app.ts";
import type { DesiredApp, FileEntry } from "../model/manifest.ts";
import { displayPath, parentFolders } from "../model/path.ts";

interface Claim {
  readonly app: AppKey;
  readonly entry: FileEntry;
}

/**
 * Paths that two of these apps claim on one host, or where one's file is the other's folder. For each
 * app in a conflict a message that names the other app and the path. Files that both apps take from
 * the same overlay are one claim, not two.
 */
export function pathConflicts(apps: readonly DesiredApp[]): ReadonlyMap<AppKey, string> {
  const found = new Map<AppKey, string>();
  if (apps.length < 2) return found;
  const claims = new Map<string, Claim>();
  for (const { key, manifest } of apps) {
    for (const entry of manifest) {
      const other = claims.get(entry.path);
      if (!other) claims.set(entry.path, { app: key, entry });
      else if (other.entry.from !== entry.from) report(found, other, { app: key, entry });
    }
  }
  for (const claim of claims.values()) {
    for (const folder of parentFolders(claim.entry.path)) {
      const other = claims.get(folder);
      if (other && other.app !== claim.app) report(found, other, claim);
    }
  }
  return found;
}

function report(found: Map<AppKey, string>, a: Claim, b: Claim): void {
  for (const [mine, theirs] of [
    [a, b],
    [b, a],
  ] as const) {
    if (found.has(mine.app)) continue;
    const path = displayPath(theirs.entry.path);
    const what = mine.entry.path === theirs.entry.path ? "" : `, and ${displayPath(mine.entry.path)} is ours`;
    found.set(mine.app, `/${path} is claimed by ${theirs.app} too${what}`);
  }
}
