import { isUtf8 } from "node:buffer";
import { decodePath } from "../model/path.ts";

export interface TreeEntry {
  /** Six octal digits: 100644, 100755, 120000 (symlink), 040000 (tree), 160000 (submodule). */
  readonly mode: string;
  readonly type: "blob" | "tree" | "commit";
  readonly id: string;
  /** From the root of the repo. */
  readonly path: string;
}

/** Parses `git ls-tree -z`: `<mode> <type> <id>\t<path>\0` …, in the order of git. */
export function parseListing(output: Buffer): TreeEntry[] {
  return records(output).map((record) => {
    const tab = record.indexOf("\t");
    const [mode, type, id] = record.slice(0, tab).split(" ") as [string, TreeEntry["type"], string];
    return { mode, type, id, path: record.slice(tab + 1) };
  });
}

/**
 * The NUL-ended records of some output, decoded as paths are. Each is a string of its own: V8 makes a part of a string a look
 * into the whole, and an app that no commit has touched for a year would keep the whole listing of then.
 */
export function records(output: Buffer): string[] {
  const decode = isUtf8(output)
    ? (from: number, to: number) => output.toString("utf8", from, to)
    : (from: number, to: number) => decodePath(output.subarray(from, to));
  const found: string[] = [];
  for (let from = 0; from < output.length;) {
    const end = output.indexOf(0, from);
    const to = end < 0 ? output.length : end;
    found.push(decode(from, to));
    from = to + 1;
  }
  return found;
}
