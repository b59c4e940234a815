import { encodePath } from "../model/path.ts";
import { quote } from "./rsync-args.ts";

/** Printed when the script came to its end: an exit code of 0 alone can come from anybody. */
export const REMOVAL_DONE = "fssync-removed";

/**
 * The command that removes the paths on its standard input: files with `rm`, entries that end with
 * a slash with `rmdir`, which leaves a folder that is not empty, and a symlink, alone. Never
 * recursive: a path that is a folder by now stays. What is gone already is fine. A file `top//rest`
 * is left alone when `top` or a folder below it is a symlink.
 */
export function removalCommand(root: string, sudo: boolean): string {
  const each = [
    "e=0",
    "for p do",
    'case "$p" in *//*)',
    "top=${p%%//*} d=${p%/*}",
    'while [ "${#d}" -gt "${#top}" ] && [ ! -L "$d" ]; do d=${d%/*}; done',
    '[ -L "$d" ] && continue ;;',
    "esac",
    'case "$p" in',
    '*/) rmdir -- "$p" 2>/dev/null ;;',
    '*) if [ -L "$p" ] || [ ! -d "$p" ]; then rm -f -- "$p" || e=1; fi ;;',
    "esac",
    "done",
    "exit $e",
  ];
  const body = `cd ${quote(root)} && xargs -0 sh -c ${quote(each.join("\n"))} sh && echo ${REMOVAL_DONE}`;
  return `exec ${sudo ? "sudo -n " : ""}sh -c ${quote(body)}`;
}

/** The standard input of that command. `./` in front: no path is an option. */
export function removalInput(files: readonly string[], folders: readonly string[] = []): Buffer {
  return nulList([...files.map((path) => `./${path}`), ...folders.map((path) => `./${path}/`)]);
}

/** Paths as rsync's --from0 and xargs -0 read them, in the bytes of the host. */
export function nulList(paths: readonly string[]): Buffer {
  return encodePath(paths.map((path) => `${path}\0`).join(""));
}
