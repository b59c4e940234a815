import { encodePath } from "../model/path.ts";
import type { InspectedFile } from "../ports/transport.ts";
import { enter, needs, printfList, script } from "./host-shell.ts";
import { quote } from "./rsync-args.ts";

/** How an answer ends: one that was cut off is never taken for files that are missing. */
export const INSPECTION_DONE = "fssync-inspected";

/** The whole answer of a host that gives the one that was expected. */
export const INSPECTION_SAME = "fssync-same";

/** Of one file: what stat and sha256sum say beside its name, and the longest target of a symlink. */
const LONGEST_FACT = 600 + 4096;

/** For whatever else comes. */
const SPARE = 64 * 1024;

/** What is asked of many hosts, made once. */
export interface Inspection {
  /** The standard input of the command: without NUL, so that the host's shell can keep it and look twice. */
  readonly input: Buffer;
  /** The paths as the answer has them, one character for each byte. */
  readonly names: readonly string[];
  /** In their order; a larger file is another one. */
  readonly maxSizes: readonly number[];
  /** Bytes of the largest: nothing larger is read for its checksum. Infinity when that is not known of a file. */
  readonly maxSize: number;
  /** Bytes that an answer has at most. */
  readonly limit: number;
}

export function makeInspection(files: readonly InspectedFile[]): Inspection {
  const paths = files.map(({ path }) => `./${path}`);
  const names = paths.map((path) => encodePath(path).toString("latin1"));
  const bytes = names.reduce((sum, name) => sum + name.length, 0);
  const maxSizes = files.map(({ maxSize = Infinity }) => maxSize);
  return {
    input: Buffer.from(printfList(paths)),
    names,
    maxSizes,
    maxSize: maxSizes.reduce((most, size) => Math.max(most, size), 0),
    limit: SPARE + files.length * LONGEST_FACT + 4 * bytes,
  };
}

/**
 * For as many paths as go into one command line: what stat says, NUL; what sha256sum says of plain files, NUL; of
 * each symlink its name, NUL, its target, NUL; then NUL; the names of what stat was kept from seeing, each with NUL; then
 * NUL. Nothing but a plain file is ever opened: a FIFO would wait. Only after such a refusal is a path asked about by itself,
 * and of a folder that may not be entered one path.
 */
const EACH = `
exec 3>&1
why=$(stat -c '%f:%s:%u:%g:%U:%G:%n' "$@" 2>&1 >&3)
case $? in 0|1) ;; *) printf '%s\\n' "$why" >&2; exit 1 ;; esac
printf '\\0'
find "$@" -prune -type f $FSSYNC_SIZE -print0 2>/dev/null | xargs -0 -r sha256sum 2>/dev/null
case $? in 0|123) ;; *) exit 1 ;; esac
printf '\\0'
for p do
[ ! -L "$p" ] || { printf '%s\\0' "$p"; readlink "$p"; printf '\\0'; }
done
printf '\\0'
unseen() {
[ "\${p%/*}" != "$closed" ] || return 0
case $(stat "$p" 2>&1) in
*": Permission denied") closed=\${p%/*} ;;
*": Input/output error" | *": Stale file handle") ;;
*) return 1 ;;
esac
}
closed=
case $why in
*": Permission denied"* | *": Input/output error"* | *": Stale file handle"*)
for p do
[ -e "$p" ] || [ -L "$p" ] || ! unseen || printf '%s\\0' "$p"
done ;;
esac
printf '\\0'`;

/**
 * The command that looks at the paths on its standard input; it writes nothing. Under a root that is not there all
 * is missing. `known` is the digest of an answer that is expected: when it is this one, it is not said again. Most hosts
 * of an app give the same one, and moving and reading it costs the controller a third of a look.
 */
export function inspectionCommand(root: string, sudo: boolean, maxSize: number, known = ""): string {
  const done = `printf ${INSPECTION_DONE}`;
  const look = [
    `FSSYNC_SIZE=${maxSize === Infinity ? "" : quote(`! -size +${maxSize}c`)}; export FSSYNC_SIZE`,
    "list=$(cat)",
    `look() { printf %b "$list" | xargs -0 sh -c ${quote(EACH)} sh; }`,
    `if [ -n "$1" ]; then digest=$(look | sha256sum); [ "\${digest%% *}" != "$1" ] || { printf ${INSPECTION_SAME}; exit 0; }; fi`,
    `look && ${done}`,
  ];
  return script(
    [needs("stat", "sha256sum", "readlink", "find", "xargs"), enter(root, done), ...look],
    sudo,
    known ? [known] : [],
  );
}
