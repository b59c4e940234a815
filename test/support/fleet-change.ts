import { createHash, randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { AppKey } from "../../src/model/app.ts";
import type { FileEntry } from "../../src/model/manifest.ts";
import { encodePath } from "../../src/model/path.ts";
import type { AppChange, HostChange } from "../../src/ports/transport.ts";

export interface FileSpec {
  readonly text?: string | Buffer;
  /** Target of a symlink. */
  readonly link?: string;
  readonly owner?: string;
  readonly group?: string;
  readonly mode?: number;
}

/** Snapshots made by hand, as a Git source would have made them. */
export class Snapshots {
  readonly root: string;
  /** By blob, what `GitSource.checksums` and `GitSource.sizes` would say. */
  readonly blobs = new Map<string, { readonly checksum: string; readonly size: number }>();
  readonly #owner: string;
  readonly #group: string;

  /** `owner` and `group` are what files without one of their own are given to. */
  constructor(root: string, { owner = "root", group = "root" } = {}) {
    mkdirSync(root, { recursive: true });
    this.root = root;
    this.#owner = owner;
    this.#group = group;
  }

  /** The files of one app, in a new tree. */
  app(app: AppKey, files: Record<string, string | FileSpec>, deletes: readonly string[] = []): AppChange {
    const tree = randomBytes(20).toString("hex");
    mkdirSync(join(this.root, tree));
    const send = Object.entries(files).map(([path, spec]) =>
      this.#write(tree, app, path, typeof spec === "string" ? { text: spec } : spec),
    );
    return { app, send, delete: deletes };
  }

  change(apps: readonly AppChange[], emptyFolders: readonly string[] = []): HostChange {
    return { snapshotRoot: this.root, apps, emptyFolders };
  }

  #write(tree: string, from: string, path: string, spec: FileSpec): FileEntry {
    const file = encodePath(join(this.root, tree, path));
    mkdirSync(encodePath(dirname(join(this.root, tree, path))), { recursive: true });
    if (spec.link !== undefined) symlinkSync(spec.link, file);
    else {
      writeFileSync(file, spec.text ?? "");
      // Git knows two modes only.
      chmodSync(file, (spec.mode ?? 0o644) & 0o100 ? 0o755 : 0o644);
    }
    return {
      path,
      kind: spec.link === undefined ? "file" : "symlink",
      blob: this.#blob(spec.link ?? spec.text ?? ""),
      tree,
      from,
      owner: spec.owner ?? this.#owner,
      group: spec.group ?? this.#group,
      mode: spec.mode ?? 0o644,
    };
  }
  #blob(content: string | Buffer): string {
    const blob = createHash("sha1").update(content).digest("hex");
    const checksum = createHash("sha256").update(content).digest("hex");
    this.blobs.set(blob, { checksum, size: Buffer.byteLength(content) });
    return blob;
  }
}
