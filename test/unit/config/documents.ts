import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfigRepos } from "../../../src/config/load.ts";
import type { FssyncError } from "../../../src/model/errors.ts";

/** A document that is right, as YAML; `spec` lines replace its inventory and what follows. */
export function document(spec: string, name = "serverfiles"): string {
  return [
    "apiVersion: fssync.dev/v1alpha1",
    "kind: ConfigRepo",
    `metadata: { name: ${name} }`,
    "spec:",
    ...spec
      .trim()
      .split("\n")
      .map((line) => `  ${line}`),
    "",
  ].join("\n");
}

export const MINIMAL = `
git: { url: "https://git.example.com/ops/files.git" }
inventory: { static: [] }
`;

export async function write(text: string): Promise<string> {
  const file = join(await mkdtemp(join(tmpdir(), "fssync-config-")), "fssync.yaml");
  await writeFile(file, text);
  return file;
}

export async function load(text: string, { allowFileUrls = false } = {}) {
  return loadConfigRepos(await write(text), { allowFileUrls });
}

/** The lines of the refusal, without the folder of the file. */
export async function mistakes(text: string, options = {}): Promise<string[]> {
  const file = await write(text);
  const error = await loadConfigRepos(file, { allowFileUrls: false, ...options }).then(
    () => undefined,
    (thrown: FssyncError) => thrown,
  );
  if (error === undefined) return [];
  if (error.reason !== "InvalidSpec") throw error;
  return error.message.split("\n").map((line) => line.replace(file, "fssync.yaml"));
}
