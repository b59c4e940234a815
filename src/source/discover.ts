import { appKey, type AppKey } from "../model/app.ts";
import type { DesiredApp, Digest, Manifest } from "../model/manifest.ts";
import type { Revision } from "../model/revision.ts";
import { type AppFile, appFiles, resolveFiles, type ResolvedFiles } from "./app-files.ts";
import type { AttributeReader } from "./check-attr.ts";
import { appDigest } from "./digest.ts";
import type { AppFolder, Layout } from "./layout.ts";

export interface ResolvedApp {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly refused: ResolvedFiles["refused"];
}

/** By app: what its files were resolved from, and the result. */
export type ResolvedApps = ReadonlyMap<AppKey, { readonly inputs: string; readonly app: ResolvedApp }>;

/**
 * Resolves the apps of a layout. An app whose trees and whose .gitattributes are what they were in
 * `before` is taken from there, so that a commit costs what it changes.
 */
export async function resolveApps(
  layout: Layout,
  before: ResolvedApps,
  attributes: AttributeReader,
  defaults: { owner: string; group: string },
): Promise<ResolvedApps> {
  const ids = new Map(layout.attributeFiles.map(({ path, id }) => [path, id]));
  const resolved = new Map<AppKey, { inputs: string; app: ResolvedApp }>();
  const stale: { folder: AppFolder; inputs: string; files: AppFile[] }[] = [];
  for (const folder of layout.apps) {
    const inputs = inputsOf(folder, ids);
    const known = before.get(appKey(folder));
    if (known?.inputs === inputs) resolved.set(appKey(folder), known);
    else stale.push({ folder, inputs, files: appFiles(folder) });
  }
  const paths = new Set(stale.flatMap(({ files }) => files.map(({ entry }) => entry.path)));
  const said = await attributes.read(layout.attributeFiles, [...paths]);
  for (const { folder, inputs, files } of stale) {
    const { files: manifest, refused } = resolveFiles(files, said, defaults);
    const digest = appDigest(folder.tree, folder.overlay?.tree ?? null, manifest);
    resolved.set(appKey(folder), { inputs, app: { digest, manifest, refused } });
  }
  return resolved;
}

export function desiredApp(folder: AppFolder, app: ResolvedApp, revision: Revision): DesiredApp {
  const { mod, env, app: name, tree, overlay } = folder;
  const refused = app.refused && { reason: app.refused.reason, message: app.refused.message };
  return {
    mod,
    env,
    app: name,
    key: appKey(folder),
    tree,
    overlay: overlay?.tree ?? null,
    digest: app.digest,
    revision,
    manifest: app.manifest,
    ...(refused && { refused }),
  };
}

/** Whether an id is that of one of the app's trees or files. */
export function holdsObject({ tree, overlay, manifest }: DesiredApp, id: string): boolean {
  return tree === id || overlay === id || manifest.some(({ blob }) => blob === id);
}

/** Both trees, which hold their own .gitattributes, and the .gitattributes of the folders above. */
function inputsOf(folder: AppFolder, ids: ReadonlyMap<string, string>): string {
  const above = ["", `${folder.mod}/`, `${folder.mod}/${folder.env}/`];
  const inherited = above.map((prefix) => ids.get(`${prefix}.gitattributes`) ?? "-");
  return [folder.tree, folder.overlay?.tree ?? "-", ...inherited].join(" ");
}
