import { createHash } from "node:crypto";
import { appId, type AppKey } from "../../src/model/app.ts";
import { hostKey, type Host } from "../../src/model/host.ts";
import type { DesiredApp, FileEntry } from "../../src/model/manifest.ts";
import type { AppRecord, Failure } from "../../src/model/record.ts";
import { revision, type Revision } from "../../src/model/revision.ts";

/** Files of an app as a test writes them: path → content, or content and attributes. */
export type Files = Readonly<Record<string, string | (Partial<FileEntry> & { readonly text?: string })>>;

/** 40 hex made from a name, as a commit or an object id. */
export function objectId(name: string): string {
  return createHash("sha1").update(name).digest("hex");
}

/** What `FakeGitSource.checksums` says of a blob. */
export function checksumOf(blob: string): string {
  return createHash("sha256").update(blob).digest("hex");
}

export function revisionOf(name: string): Revision {
  return revision("main", objectId(name));
}

function makeFile(path: string, overrides: Files[string] = ""): FileEntry {
  const { text, ...entry } = typeof overrides === "string" ? { text: overrides } : overrides;
  const common = { path, kind: "file", from: "mod/env/app", owner: "root", group: "root", mode: 0o644 } as const;
  return { ...common, blob: objectId(text ?? ""), tree: objectId("tree"), ...entry };
}

/** An app with these files. Same key and same files: same tree and same digest. */
export function makeApp(key: AppKey, files: Files, overrides: Partial<DesiredApp> = {}): DesiredApp {
  const entries = Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1));
  const content = JSON.stringify([key, entries]);
  const tree = objectId(content);
  const manifest = entries.map(([path, file]) => ({
    ...makeFile(path, file),
    tree: (typeof file === "string" ? undefined : file.tree) ?? tree,
    from: (typeof file === "string" ? undefined : file.from) ?? key,
  }));
  const digest = createHash("sha256").update(content).digest("hex");
  const made = { ...appId(key), key, tree, overlay: null, digest, revision: revisionOf("1"), manifest };
  return { ...made, ...overrides };
}

export function makeHost(address: string, overrides: Partial<Omit<Host, "key" | "address">> = {}): Host {
  const port = overrides.port ?? 22;
  return { key: hostKey(address, port), address, port, user: "root", root: "/", ...overrides };
}

/** A host that has `app` and lags in nothing; override what shall differ. */
export function makeRecord(app: DesiredApp | null, overrides: Partial<AppRecord> = {}): AppRecord {
  return {
    digest: app?.digest ?? null,
    revision: app?.revision ?? null,
    syncedAt: app ? 1_699_999_999_000 : null,
    unfinished: [],
    lagSince: null,
    failure: null,
    syncingSince: null,
    ...overrides,
  };
}

export function makeFailure(overrides: Partial<Failure> = {}): Failure {
  return { state: "Failed", reason: "NoSpace", message: "the disk is full", at: 1, attempts: 1, ...overrides };
}
