import type { AppKey } from "../model/app.ts";
import type { DesiredApp, FileEntry } from "../model/manifest.ts";
import { displayPath, parentFolders } from "../model/path.ts";

/** One file, and the apps that take it from the same folder of the repo: more than one only for an overlay's. */
interface Claim {
  readonly apps: AppKey[];
  readonly entry: FileEntry;
}

/**
 * Paths that two of these apps claim on one host, or where one's file is the other's folder. For each
 * app in a conflict a message that names the other app and the path. Files that several apps take from
 * the same overlay are one claim, and a conflict about it is a conflict of all of them.
 */
export function pathConflicts(apps: readonly DesiredApp[]): ReadonlyMap<AppKey, string> {
  const found = new Map<AppKey, string>();
  if (apps.length < 2) return found;
  const claims = claimsOf(apps);
  for (const [path, claimed] of claims) {
    for (const [index, claim] of claimed.entries()) {
      for (const other of claimed.slice(index + 1)) report(found, claim, other);
      for (const folder of parentFolders(path)) {
        for (const other of claims.get(folder) ?? []) report(found, other, claim);
      }
    }
  }
  return found;
}

function claimsOf(apps: readonly DesiredApp[]): Map<string, Claim[]> {
  const claims = new Map<string, Claim[]>();
  for (const { key, manifest } of apps) {
    for (const entry of manifest) {
      const claimed = claims.get(entry.path);
      const shared = claimed?.find((claim) => claim.entry.from === entry.from);
      if (shared) shared.apps.push(key);
      else if (claimed) claimed.push({ apps: [key], entry });
      else claims.set(entry.path, [{ apps: [key], entry }]);
    }
  }
  return claims;
}

function report(found: Map<AppKey, string>, a: Claim, b: Claim): void {
  for (const [mine, theirs] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const app of mine.apps) {
      const other = theirs.apps.find((each) => each !== app);
      if (other === undefined || found.has(app)) continue;
      const path = displayPath(theirs.entry.path);
      const what = mine.entry.path === theirs.entry.path ? "" : `, and ${displayPath(mine.entry.path)} is ours`;
      found.set(app, `/${path} is claimed by ${other} too${what}`);
    }
  }
}
