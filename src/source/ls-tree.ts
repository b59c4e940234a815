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

/** The NUL-ended records of some output, decoded as paths are. */
export function records(output: Buffer): string[] {
  const decoded = isUtf8(output) ? output.toString("utf8").split("\0") : splitBytes(output);
  if (decoded.at(-1) === "") decoded.pop();
  return decoded;
}

function splitBytes(output: Buffer): string[] {
  const found: string[] = [];
  let from = 0;
  for (let to = output.indexOf(0); to >= 0; to = output.indexOf(0, from)) {
    found.push(decodePath(output.subarray(from, to)));
    from = to + 1;
  }
  found.push(decodePath(output.subarray(from)));
  return found;
}
