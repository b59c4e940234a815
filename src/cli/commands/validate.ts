import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfigRepos } from "../../config/load.ts";
import type { ConfigRepo } from "../../config/schema.ts";
import { asFssyncError } from "../../model/errors.ts";
import { displayPath } from "../../model/path.ts";
import type { Discovery } from "../../ports/git-source.ts";
import type { Context } from "../program.ts";

/** Checks the file, then each repo at its branch's head. Exit 1 when anything would not be synced as written. */
export async function validateCommand(context: Context): Promise<number> {
  const configs = await loadConfigRepos(context.file, context);
  const checked = await Promise.all(configs.map((config) => validateRepo(config, context)));
  for (const { lines } of checked) context.stdout.write(lines.map((line) => `${line}\n`).join(""));
  return checked.every(({ valid }) => valid) ? 0 : 1;
}

async function validateRepo(config: ConfigRepo, context: Context): Promise<{ valid: boolean; lines: string[] }> {
  const { name } = config.metadata;
  // A mirror of its own: a running controller's is not touched.
  const dir = await mkdtemp(join(tmpdir(), "fssync-validate-"));
  try {
    await using source = await context.build.source(config, context, dir, context.log);
    return describe(name, await source.discover(await source.poll(context.signal)));
  } catch (thrown) {
    const { reason, message } = asFssyncError(thrown);
    return { valid: false, lines: [`${name}: ${reason}: ${message}`] };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function describe(name: string, { apps, revision, warnings }: Discovery): { valid: boolean; lines: string[] } {
  const files = [...apps.values()].reduce((sum, { manifest }) => sum + manifest.length, 0);
  const lines = [
    // Why an app is refused is among the warnings.
    ...warnings.map(({ path, reason, message }) => `${name}: ${reason}: ${withPath(displayPath(path), message)}`),
    `${name}: ${apps.size} apps, ${files} files at ${revision}; ${warnings.length} mistakes`,
  ];
  return { valid: warnings.length === 0, lines };
}

function withPath(path: string, message: string): string {
  return message.includes(path) ? message : `${path}: ${message}`;
}
