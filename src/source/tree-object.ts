import { decodePath } from "../model/path.ts";

export interface TreeObjectEntry {
  readonly kind: "tree" | "file" | "executable" | "symlink" | "submodule";
  readonly name: string;
  readonly id: string;
}

const KINDS: Readonly<Record<string, TreeObjectEntry["kind"]>> = {
  "40000": "tree",
  "100755": "executable",
  "120000": "symlink",
  "160000": "submodule",
};

/** Parses a raw tree object: `<mode> <name>\0<id bytes>` …; `idLength` is 20 (SHA-1) or 32 (SHA-256). */
export function parseTreeObject(content: Buffer, idLength: number): TreeObjectEntry[] {
  const entries: TreeObjectEntry[] = [];
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at);
    const end = content.indexOf(0, space);
    if (space < 0 || end < 0 || end + 1 + idLength > content.length) throw new Error("bad tree object");
    entries.push({
      kind: KINDS[content.toString("latin1", at, space)] ?? "file",
      name: decodePath(content.subarray(space + 1, end)),
      id: content.toString("hex", end + 1, end + 1 + idLength),
    });
    at = end + 1 + idLength;
  }
  return entries;
}
