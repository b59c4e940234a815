import { encodePath } from "../model/path.ts";
import type { InspectedFile } from "../ports/transport.ts";
import { enter, needs, script } from "./host-shell.ts";
import { nulList } from "./removal.ts";
import { quote } from "./rsync-args.ts";

/** How an answer ends: one that was cut off is never taken for files that are missing. */
export const INSPECTION_DONE = "fssync-inspected";

/** Of one file: what stat and sha256sum say beside its name, and the longest target of a symlink. */
const LONGEST_FACT = 600 + 4096;

/** For whatever else comes. */
const SPARE = 64 * 1024;

/** What is asked of many hosts, made once. */
export interface Inspection {
  /** The standard input of the command. */
  readonly input: Buffer;
  /** The paths as the answer has them, one character for each byte. */
  readonly names: readonly string[];
  /** Bytes that an answer has at most. */
  readonly limit: number;
}

export function makeInspection(files: readonly InspectedFile[]): Inspection {
  const paths = files.map(({ path }) => `./${path}`);
  const input = nulList(paths);
  const names = paths.map((path) => encodePath(path).toString("latin1"));
  return { input, names, limit: SPARE + files.length * LONGEST_FACT + 4 * input.length };
}

/**
 * For as many paths as go into one command line: what stat says, NUL; what sha256sum says of plain files, NUL; of
 * each symlink its name, NUL, its target, NUL; then NUL. Nothing but a plain file is ever opened: a FIFO would wait.
 */
const EACH = `
stat -c '%f:%u:%g:%U:%G:%n' "$@"
case $? in 0|1) ;; *) exit 1 ;; esac
printf '\\0'
for p do
[ -L "$p" ] || [ ! -f "$p" ] || printf '%s\\0' "$p"
done | xargs -0 -r sha256sum 2>/dev/null
case $? in 0|123) ;; *) exit 1 ;; esac
printf '\\0'
for p do
[ ! -L "$p" ] || { printf '%s\\0' "$p"; readlink "$p"; printf '\\0'; }
done
printf '\\0'`;

/** The command that looks at the paths on its standard input; it writes nothing. Under a root that is not there all is missing. */
export function inspectionCommand(root: string, sudo: boolean): string {
  const done = `printf ${INSPECTION_DONE}`;
  const look = `xargs -0 sh -c ${quote(EACH)} sh && ${done}`;
  return script([needs("stat", "sha256sum", "readlink", "xargs"), enter(root, done), look], sudo);
}
