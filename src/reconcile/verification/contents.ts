import type { AppKey } from "../../model/app.ts";
import type { Host } from "../../model/host.ts";
import { isSecret } from "../../plan/drift.ts";
import type { GitSource } from "../../ports/git-source.ts";
import type { Transport, WorkOptions } from "../../ports/transport.ts";
import type { AppFinding, FoundFile } from "./looks.ts";

/** A larger file is not shown, bytes. */
const LIMIT = 64 * 1024;
/** Files of one host that are shown. */
const SHOWN = 20;

/** Adds what Git and the host have to the findings whose content differs and may be shown to everybody. */
export async function withContents(
  { source, transport }: { readonly source: GitSource; readonly transport: Transport },
  host: Host,
  apps: ReadonlyMap<AppKey, AppFinding>,
  options: WorkOptions,
): Promise<ReadonlyMap<AppKey, AppFinding>> {
  const shown = [...apps.values()].flatMap(({ files }) => files.filter(mayBeShown)).slice(0, SHOWN);
  if (shown.length === 0) return apps;
  const paths = shown.map(({ entry }) => entry.path);
  const [onHost, inGit] = await Promise.all([
    transport.read(host, paths, { ...options, limit: LIMIT }),
    Promise.all(shown.map(({ entry }) => source.content(entry.blob, LIMIT))),
  ]);
  const contents = new Map<FoundFile, FoundFile["contents"]>();
  for (const [index, file] of shown.entries()) {
    const [git, found] = [inGit[index], onHost[index]];
    if (git && found) contents.set(file, { git, host: found });
  }
  return new Map(
    [...apps].map(([app, finding]) => [
      app,
      { ...finding, files: finding.files.map((file) => ({ ...file, ...contentsOf(contents.get(file)) })) },
    ]),
  );
}

function contentsOf(contents: FoundFile["contents"]) {
  return contents ? { contents } : {};
}

function mayBeShown(file: FoundFile): boolean {
  if (file.change !== "content" && file.change !== "conflict") return false;
  return file.entry.kind === "file" && file.fact.kind === "file" && !isSecret(file);
}
