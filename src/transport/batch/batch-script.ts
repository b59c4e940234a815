import { createHash } from "node:crypto";
import { encodePath } from "../../model/path.ts";
import { accountChecks, quote, type Ownership } from "../rsync-args.ts";
import { BOUNDED, LEADER } from "../session.ts";
import { readWords } from "./batch-args.ts";

/** How each line begins that the script says. */
export const SAYS = "fssync-batch";

/** Files of a list, in the order of `sums`. Paths begin with `./`. */
export interface Listed {
  readonly plain: readonly string[];
  readonly links: readonly string[];
}

/** What one host is asked to do: the same for all hosts of a group but for their roots. */
export interface BatchScript {
  /** Files that earlier syncs put there, with what `sums` says of them: as last synced, and as they shall be. */
  readonly replaced: Listed & { readonly synced: string; readonly desired: string };
  readonly classes: readonly BatchClass[];
  readonly deletes: readonly string[];
  /** Deepest first. */
  readonly emptyFolders: readonly string[];
  /** Folders that lead to any of the paths. */
  readonly parents: readonly string[];
}

/** Files of one batch. Plain files come in the order of their modes. */
export interface BatchClass extends Listed {
  readonly ownership: Ownership;
  /** Bytes of the batch. */
  readonly size: number;
  /** What `sums` says afterwards. */
  readonly sums: string;
  /** `%f` of stat, as they follow each other, each once in a row. */
  readonly modes: readonly string[];
}

/** Longer texts are compared by their checksum. */
const LONGEST_TEXT = 2048;

/** Seconds of CPU for a look at files that may be of any size. */
const SHORT_LOOK = 2;

const FUNCTIONS = `
nl='
'
verdict() {
echo "${SAYS} $*"
exit 1
}
are_plain() {
for p do
[ -f "$p" ] && [ ! -L "$p" ] || return 1
done
}
are_links() {
for p do
[ -L "$p" ] || return 1
done
}
none_is_link() {
for p do
[ ! -L "$p" ] || return 1
done
}
none_is_folder() {
for p do
[ -L "$p" ] || [ ! -d "$p" ] || return 1
done
}
none_is_left() {
for p do
[ ! -L "$p" ] && [ ! -e "$p" ] || return 1
done
}
targets() {
for p do
t=$(readlink "$p"; echo .)
printf %s "\${t%"$nl."}" | sha256sum
done
}
for c in sha256sum stat readlink; do command -v $c >/dev/null || verdict lacks $c; done`;

/**
 * The command for a host: looks whether all is as it was left, lays the batches on standard input under the root, deletes,
 * and looks whether all is as it shall be. It ends with 0 and `applied` then; in any other case with a line that
 * says why not, and what it has done by then is for rsync to bring to an end.
 */
export function batchCommand(spec: BatchScript, { root, sudo, asRoot, rsyncPath }: BatchHost): string {
  const { replaced, classes, deletes, emptyFolders, parents } = spec;
  const lines = [
    BOUNDED,
    "LC_ALL=C; export LC_ALL; umask 022",
    FUNCTIONS,
    `cd ${quote(root)} 2>/dev/null || verdict conflict root`,
    ...words("parents", parents),
    "parents none_is_link || verdict conflict parents",
    ...words("deletes", deletes),
    "deletes none_is_folder || verdict conflict deletes",
    ...classes.flatMap((each, index) => [
      ...words(`plain${index}`, each.plain),
      ...words(`links${index}`, each.links),
      ...accounts(each.ownership, index, asRoot),
    ]),
    ...before(replaced),
    ...classes.map((each, index) => laid(each, index)),
    // Somebody may have brought it already, or everything is sent anew: then nothing needs to be.
    `if [ $now = desired ]${classes.map((_, index) => ` && laid${index}`).join("")}; then :; else`,
    `echo "${SAYS} ready"`,
    ...classes.map((each, index) => lay(each, index, { rsyncPath, isOnly: classes.length === 1 })),
    "fi",
    ...(deletes.length > 0
      ? ["deletes rm -f -- || verdict failed rm", "deletes none_is_left || verdict wrong deletes"]
      : []),
    ...(emptyFolders.length > 0 ? [`for d in ${list(emptyFolders)}; do rmdir -- "$d" 2>/dev/null; done`] : []),
    `echo "${SAYS} applied"`,
    "exit 0",
  ];
  return `exec ${sudo ? "sudo -n " : ""}sh -c ${quote(lines.join("\n"))} sh ${LEADER}`;
}

export interface BatchHost {
  readonly root: string;
  readonly sudo: boolean;
  /** Whether the script runs as root: only then owners are what was asked for. */
  readonly asRoot: boolean;
  readonly rsyncPath: string;
}

/** `name command…` runs the command with the paths; without any it is fine. */
function words(name: string, paths: readonly string[]): string[] {
  return [paths.length === 0 ? `${name}() { :; }` : `${name}() { "$@" ${list(paths)}; }`];
}

function list(paths: readonly string[]): string {
  return paths.map(quote).join(" ");
}

/** Sets `u` and `g` with the number of the class: what stat shall say, `*` where the login gives what it can. */
function accounts({ owner, group }: Ownership, index: number, asRoot: boolean): string[] {
  const checks = accountChecks({ owner, group, mode: null }, asRoot);
  return [...checks, `u${index}=${ownerId(owner, asRoot)}`, `g${index}=${groupId(group, asRoot)}`];
}

function ownerId(owner: string, asRoot: boolean): string {
  if (/^\d+$/.test(owner)) return asRoot ? owner : "'*'";
  if (owner === "root") return asRoot ? "0" : "'*'";
  return `$(id -u ${quote(owner)})`;
}

function groupId(group: string, asRoot: boolean): string {
  if (/^\d+$/.test(group)) return asRoot ? group : "'*'";
  if (group === "root") return asRoot ? "0" : "'*'";
  const line = `getent group ${quote(group)} || grep ${quote(`^${group.replaceAll(".", "[.]")}:`)} /etc/group`;
  return `$({ ${line}; } 2>/dev/null | { IFS=: read -r _ _ id _; echo "$id"; })`;
}

/** Sets `now` to `synced` or `desired`. */
function before({ plain, links, synced, desired }: BatchScript["replaced"]): string[] {
  if (plain.length + links.length === 0) return ["now=synced"];
  const digested = Math.max(synced.length, desired.length) > LONGEST_TEXT;
  const sums = `{ ulimit -t ${SHORT_LOOK}; replaced sha256sum; replaced_links targets; }`;
  return [
    ...words("replaced", plain),
    ...words("replaced_links", links),
    "replaced are_plain && replaced_links are_links || verdict conflict kind",
    `case $(${sums} 2>/dev/null${digested ? " | sha256sum" : ""}) in`,
    `${text(desired, digested)}) now=desired ;;`,
    `${text(synced, digested)}) now=synced ;;`,
    "*) verdict conflict content ;;",
    "esac",
  ];
}

/** `laid<index>` tells whether the files of a class are as they shall be. */
function laid({ plain, links, sums, modes }: BatchClass, index: number): string {
  const digested = sums.length > LONGEST_TEXT;
  const stat = "stat -c %f:%u:%g";
  const looks = [
    ...(plain.length > 0 ? [`plain${index} ${stat}`] : []),
    ...(links.length > 0 ? [`links${index} ${stat}`] : []),
  ];
  const attributes =
    looks.length === 1 && plain.length + links.length === 1 ? looks[0] : `{ ${looks.join("; ")}; } | uniq`;
  const wanted = modes.map((mode) => `"${mode}:"$u${index}":"$g${index}`).join('"$nl"');
  return [
    `laid${index}() {`,
    `plain${index} are_plain && links${index} are_links || return 1`,
    `case $(${attributes}) in ${wanted}) ;; *) return 1 ;; esac`,
    `case $({ plain${index} sha256sum; links${index} targets; } 2>/dev/null${digested ? " | sha256sum" : ""}) in ${text(sums, digested)}) ;; *) return 1 ;; esac`,
    "}",
  ].join("\n");
}

/** Lays the next batch of standard input. */
function lay(each: BatchClass, index: number, { rsyncPath, isOnly }: { rsyncPath: string; isOnly: boolean }): string {
  const options = readWords(each.ownership, each.plain.length + each.links.length)
    .map(quote)
    .join(" ");
  // rsync reads ahead, beyond the end of its batch.
  const input = isOnly ? "" : `head -c ${each.size} | `;
  return `${input}${rsyncPath} ${options} >&2 || verdict failed rsync $?\nlaid${index} || verdict wrong ${index}`;
}

/** A pattern of `case` that is what a program says, or what sha256sum says of that. */
function text(said: string, digested: boolean): string {
  return digested
    ? `'${createHash("sha256").update(encodePath(said)).digest("hex")}  -'`
    : quote(said.replace(/\n$/, ""));
}
