import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Removes what a killed git leaves in a bare repo: `*.lock`, which would stop every later command, and
 * half-received packs. Only for when no git works there: we hold the data dir, so at the start, and
 * after a command of ours has ended, whatever is found is stale. Returns the paths.
 */
export async function removeLeftovers(gitDir: string): Promise<string[]> {
  const names = await readdir(gitDir, { recursive: true }).catch(() => []);
  const stale = names.filter((name) => /\.lock$|(^|\/)tmp_(obj|pack|idx|rev)_[^/]*$|(^|\/)\.tmp-[^/]*$/.test(name));
  for (const name of stale) await rm(join(gitDir, name), { recursive: true, force: true });
  return stale;
}
