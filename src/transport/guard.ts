import type { AppKey } from "../model/app.ts";
import { parentFolders } from "../model/path.ts";
import type { HostChange } from "../ports/transport.ts";
import { GUARDED, guardScript, UNKEPT_EXIT } from "./guard-script.ts";
import { printfList } from "./host-shell.ts";
import { hiddenPaths } from "./hidden-paths.ts";
import { topOf } from "./passes.ts";
import { nulList } from "./removal.ts";
import { quote, type Remote } from "./rsync-args.ts";
import { LEADER } from "./session.ts";

/** Characters that may ride in a command; beyond it the list goes on standard input. */
const LONGEST_RIDE = 16 * 1024;

/** So few files are looked at in words of the command. */
const MOST_IN_WORDS = 16;
/** Seconds of CPU. */
const SHORT_LOOK = 1;

/** Which files of a change must be looked at on a host before anything of it is laid there. Made once for all hosts. */
export interface Guard {
  /** In the order of their numbers. */
  readonly files: readonly {
    readonly app: AppKey;
    readonly path: string;
    /** What was synced last; undefined when a symlink or a folder may stand on the way, or it may be of any size. */
    readonly synced: string | undefined;
  }[];
  /** The standard input of the guard. */
  readonly input: Buffer;
  /** The same as an argument of printf's `%b`; undefined when a command line is too short for it, or not for its checksums. */
  readonly printed: string | undefined;
  readonly keep: number;
}

/** Undefined when a change replaces nothing. */
export function makeGuard(change: HostChange): Guard | undefined {
  const files = change.apps.flatMap(({ app, replaces = [] }) => replaces.map((file) => ({ app, ...file })));
  if (files.length === 0) return undefined;
  const paths = new Set(change.apps.flatMap((app) => [...app.send.map(({ path }) => path), ...app.delete]));
  const folders = new Set([...paths].flatMap(parentFolders));
  const words = files.map(({ path, checksums, maxSize }, number) => {
    // Of two paths of which one stands above the other, an unfinished sync may have put either on the host:
    // a folder is no change by somebody else then, and what lies behind a symlink is not ours.
    const known = folders.has(path) ? [...checksums, "folder"] : checksums;
    const top = topOf(path, paths);
    return `${number}/${known.join(".")}/${maxSize ?? ""}/${top === undefined ? path : `${top}//${path.slice(top.length + 1)}`}`;
  });
  const hidden = hiddenPaths(change);
  const printed = files.some(({ path }) => hidden.has(path)) ? undefined : printfList(words);
  return {
    files: files.map(({ app, path, checksums: [synced], maxSize }) => {
      const mayBeOther = folders.has(path) || topOf(path, paths) !== undefined;
      return { app, path, synced: mayBeOther || maxSize === undefined ? undefined : synced };
    }),
    input: nulList(words),
    printed: printed !== undefined && printed.length <= LONGEST_RIDE ? printed : undefined,
    keep: change.keepVersions ?? 0,
  };
}

/** Bytes that a guard says at most on standard output: what programs say of a file has its name twice. */
export function guardAnswerLimit({ files, input }: Guard): number {
  return 64 * 1024 + files.length * 1024 + 4 * input.length;
}

/** With its list on standard input. `stamp` is what versions that are kept now are called by. */
export function guardCommand({ host, sudo }: Remote, { keep }: Guard, stamp: string): string {
  return `${sudo ? "sudo -n " : ""}sh -c ${quote(guardScript(host.root))} sh ${LEADER} ${keep} ${stamp}`;
}

/**
 * The guard in front of another command, which then begins only if all that must be kept is kept. It may use
 * standard error alone: the other streams are rsync's. What sudo says of a guard that it does not allow is nobody's fault.
 */
export function riddenGuard(remote: Remote, guard: Guard, stamp: string): string {
  const command = guardCommand(remote, guard, stamp);
  const whole = `printf %b '${guard.printed}' | ${command} >&2 2>/dev/null; [ $? -ne ${UNKEPT_EXIT} ] || exit ${UNKEPT_EXIT};`;
  const untouched = areAsSynced(remote.host.root, guard);
  return untouched ? `${untouched} && echo ${GUARDED} >&2 || { ${whole} };` : whole;
}

/**
 * Whether all files are what was synced last: nearly always they are, and then one process tells. Undefined where
 * that cannot be said in plain words. A file that is not read to its end within a second is looked at in full.
 */
function areAsSynced(root: string, { files }: Guard): string | undefined {
  const folder = root.endsWith("/") ? root : `${root}/`;
  const paths = files.map(({ path }) => folder + path);
  if (files.length > MOST_IN_WORDS || !files.every(({ synced }) => synced) || !paths.every(isPlain)) return undefined;
  const plainFiles = paths.map((path) => `[ -f ${path} ] && [ ! -L ${path} ]`).join(" && ");
  const sums = files.map(({ synced }, index) => `${synced} ${paths[index]}`).join(" ");
  return `${plainFiles} && printf '%s  %s\\n' ${sums} | (ulimit -t ${SHORT_LOOK}; exec sha256sum -c) >/dev/null 2>&1`;
}

function isPlain(path: string): boolean {
  return /^\/[A-Za-z0-9._/-]+$/.test(path);
}

/** Of milliseconds since the epoch: `20261122T224501.123Z`. */
export function versionStamp(at: number): string {
  return new Date(at).toISOString().replaceAll(/[-:]/g, "");
}
