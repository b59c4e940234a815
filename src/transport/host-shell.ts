import { FssyncError } from "../model/errors.ts";
import { encodePath } from "../model/path.ts";
import { quote } from "./rsync-args.ts";
import { runError } from "./rsync-errors.ts";
import { BOUNDED, LEADER } from "./session.ts";

/** Pieces of the scripts that a host's POSIX shell runs, and how they end. */

/** The script as one command for the login's shell, with rights to everything when `sudo`. */
export function script(lines: readonly string[], sudo: boolean, args: readonly string[] = []): string {
  const text = quote([BOUNDED, ...lines].join("\n"));
  return ["exec", ...(sudo ? ["sudo -n"] : []), "sh -c", text, "sh", LEADER, ...args].join(" ");
}

/** The entries, a NUL behind each, as an argument of printf's `%b`: plain characters as they are, every other byte as an escape. */
export function printfList(entries: readonly string[]): string {
  const bytes = encodePath(entries.map((entry) => `${entry}\0`).join("")).toString("latin1");
  return bytes.replace(/[^A-Za-z0-9._/-]/g, (byte) => `\\0${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** Ends the script when one of these is not installed. What they say is to be English, and bytes are characters. */
export function needs(...programs: readonly string[]): string {
  const missing = `{ echo "$c is not installed on the host" >&2; exit 1; }`;
  return `LC_ALL=C; export LC_ALL\nfor c in ${programs.join(" ")}; do command -v "$c" >/dev/null || ${missing}; done`;
}

/** Goes to the folder; runs `otherwise` and ends well when there is none. */
export function enter(folder: string, otherwise: string): string {
  const word = quote(folder);
  return [
    `cd ${word} 2>/dev/null || {`,
    `if [ ! -e ${word} ] && [ ! -L ${word} ]; then ${otherwise}; exit 0; fi`,
    `why="Not a directory"; [ ! -d ${word} ] || why="Permission denied"`,
    `printf 'cannot enter %s: %s\\n' ${word} "$why" >&2; exit 1; }`,
  ].join("\n");
}

/** The error of a script that ended so; null when it ended well. It is not rsync's, though reasons are found as for rsync. */
export function scriptError(ending: { readonly exitCode: number | null; readonly stderr: string }): FssyncError | null {
  const error = runError(ending);
  const blamesRsync = error !== null && ["RsyncFailed", "RsyncMissing", "PartialTransfer"].includes(error.reason);
  return blamesRsync ? new FssyncError("ProtocolError", error.message, { cause: error }) : error;
}
