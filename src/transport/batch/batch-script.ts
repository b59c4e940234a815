import { createHash } from "node:crypto";
import { encodePath } from "../../model/path.ts";
import { forAnyShell } from "../login-shell.ts";
import { accountChecks, quote, type Ownership } from "../rsync-args.ts";
import { BOUNDED, LEADER } from "../session.ts";
import { readWords } from "./batch-args.ts";
import { BASICS, FUNCTIONS, HEAD_PROBE, READY, SAYS } from "./batch-functions.ts";
import type { BatchClass, BatchPlan, Replaced } from "./batch-plan.ts";

/** Longer texts are compared by their checksum. */
const LONGEST_TEXT = 8 * 1024;

/** Bytes of a command, as the longest of shells has it: one argument of a program can have 128 KiB, and what sshd is asked 256 KiB. */
const LONGEST_COMMAND = 100 * 1024;

/** Bytes that every shell's `read` leaves as they are: dash has a use of its own for some of the others. */
const READABLE = /^[\n\x20-\x7e\xa0-\xff]*$/;

/** What the hosts of a group can differ in. */
export interface BatchHost {
  readonly root: string;
  readonly sudo: boolean;
  /** Whether the script is known to run as root; otherwise it asks: only root gives files the owners that were asked for. */
  readonly asRoot: boolean;
  readonly rsyncPath: string;
}

export interface BatchCommand {
  readonly command: string;
  /** What standard input begins with: the part of the script that is too long for a command, or not for everybody's eyes. */
  readonly rest: Buffer;
  /** Whether the host's `head` takes that from the input. */
  readonly byHead: boolean;
}

/** Whether standard input has several parts, which takes a `head` that does not read ahead. */
export function isLong({ classes }: BatchPlan, { byHead }: BatchCommand): boolean {
  return byHead || classes.length > 1;
}

/**
 * The command for a host: looks whether all is as it was left, lays the batches on standard input under the root, deletes,
 * and looks whether all is as it shall be. It ends with 0 and `applied` then; in any other case with a line that
 * says why not, and what it has done by then is for rsync to bring to an end. `sizes` are those of the batches.
 */
export function batchCommand(plan: BatchPlan, sizes: readonly number[], host: BatchHost): BatchCommand {
  const lines = scriptLines(plan, sizes, host).join("\n");
  const several = sizes.length > 1 ? [HEAD_PROBE] : [];
  const whole = command([BOUNDED, BASICS, ...several, FUNCTIONS, lines], host);
  const isShort = encodePath(whole).length <= LONGEST_COMMAND && forAnyShell(whole).length <= LONGEST_COMMAND;
  if (isShort && !plan.isHidden) return { command: whole, rest: Buffer.alloc(0), byHead: false };
  const rest = encodePath(`${lines}\n`);
  if (isShort && READABLE.test(rest.toString("latin1"))) {
    const read = readLines(lines.split("\n").length);
    return { command: command([BOUNDED, BASICS, ...several, FUNCTIONS, read], host), rest, byHead: false };
  }
  // The shell drops line ends at the end of what a program says.
  const read = `script=$(head -c ${rest.length}; echo .)\neval "\${script%.}"\nverdict lacks head`;
  return { command: command([BOUNDED, BASICS, HEAD_PROBE, FUNCTIONS, read], host), rest, byHead: true };
}

/** Runs so many lines of standard input, and takes no byte behind them. */
function readLines(count: number): string {
  return `script= left=${count}
while [ $left -gt 0 ]; do
IFS= read -r line || verdict unheard
script=$script$line$nl left=$((left - 1))
done
eval "$script"`;
}

function command(lines: readonly string[], { sudo }: BatchHost): string {
  return `exec ${sudo ? "sudo -n " : ""}sh -c ${quote(lines.join("\n"))} sh ${LEADER}`;
}

function scriptLines(plan: BatchPlan, sizes: readonly number[], { root, asRoot, rsyncPath }: BatchHost): string[] {
  const { replaced, classes, deletes, emptyFolders, parents } = plan;
  return [
    `cd ${quote(root)} 2>/dev/null || verdict conflict root`,
    ...words("parents", parents),
    ...words("deletes", deletes),
    ...(asRoot ? [] : ["me=$(id -u)"]),
    ...classes.flatMap((each, index) => [
      ...words(`plain${index}`, each.plain),
      ...words(`links${index}`, each.links),
      ...accounts(each.ownership, index, asRoot),
    ]),
    "parents none_is_link || verdict conflict parents",
    "deletes none_is_folder || verdict conflict deletes",
    failed(classes, rsyncPath),
    ...classes.map(laid),
    ...guarded(replaced, classes),
    // Somebody may have brought it already, or everything is sent anew: then nothing needs to be.
    `has=; [ $now = synced ]${classes.map((_, index) => ` || ! laid${index}`).join("")} || has=all`,
    ...(deletes.length + emptyFolders.length > 0 ? [] : [`[ -n "$has" ] && ${NO_PARTS} && ${APPLIED}`]),
    // A host that stood still may come to this when nobody waits for it any more, and others have been here since.
    `echo "${READY}"; read -r go && [ "$go" = go ] || verdict unheard`,
    ...(classes.length > 0
      ? [
          'if [ -z "$has" ]; then',
          ...classes.map((each, index) => lay(each, index, sizes, rsyncPath)),
          "fi",
          `${NO_PARTS} || all_parts`,
        ]
      : []),
    ...(deletes.length > 0
      ? ["deletes rm -f -- || verdict failed rm", "deletes none_is_left || verdict wrong deletes"]
      : []),
    ...(emptyFolders.length > 0 ? [`rmdir -- ${list(emptyFolders)} 2>/dev/null`] : []),
    APPLIED,
  ];
}

const NO_PARTS = "parents no_parts && [ ! -d .~tmp~ ]";
const APPLIED = `{ echo "${SAYS} applied"; exit 0; }`;

/** `name command…` runs the command with the paths; without any it is fine. */
function words(name: string, paths: readonly string[]): string[] {
  return [paths.length === 0 ? `${name}() { :; }` : `${name}() { "$@" ${list(paths)}; }`];
}

function list(paths: readonly string[]): string {
  return paths.map(quote).join(" ");
}

/**
 * Sets `u`, `g` and `f` with the number of the class: what stat shall say, and what it is asked. Where the login gives what
 * it can, it is asked nothing.
 */
function accounts({ owner, group }: Ownership, index: number, asRoot: boolean): string[] {
  const [user, team] = [numberOf(owner), numberOf(group)];
  const lines = [
    ...accountChecks({ owner, group, mode: null }, asRoot),
    `u${index}=${user ?? ownerId(owner)} g${index}=${team ?? groupId(group)} f${index}=%f:%u:%g`,
  ];
  const [freeUser, freeTeam] = [user !== undefined, team !== undefined];
  if (asRoot || !(freeUser || freeTeam)) return lines;
  const free = [
    ...(freeUser ? [`u${index}=-`] : []),
    ...(freeTeam ? [`g${index}=-`] : []),
    `f${index}=%f:${freeUser ? "-" : "%u"}:${freeTeam ? "-" : "%g"}`,
  ];
  return [...lines, `[ "$me" = 0 ] || { ${free.join(" ")}; }`];
}

function ownerId(owner: string): string {
  return `$(id -u ${quote(owner)})`;
}

function groupId(group: string): string {
  const line = `getent group ${quote(group)} || grep ${quote(`^${group.replaceAll(".", "[.]")}:`)} /etc/group`;
  return `$({ ${line}; } 2>/dev/null | { IFS=: read -r _ _ id _; echo "$id"; })`;
}

/** Of what need not be looked up. */
function numberOf(account: string): string | undefined {
  if (account === "root") return "0";
  return /^\d+$/.test(account) ? account.replace(/^0+(?=\d)/, "") : undefined;
}

/** Sets `now`: files of earlier syncs are `synced` or `desired`, or there are none: `unknown`. Anything else is for rsync. */
function guarded({ paths, synced, desired, others }: Replaced, classes: readonly BatchClass[]): string[] {
  if (paths.length === 0) return ["now=unknown"];
  const isDigested = [synced, desired, others].some((lines) => lines.length > LONGEST_TEXT);
  // Of long lists no line is known; a host that was set up anew has none of the files.
  const known = isDigested
    ? "replaced none_is_left"
    : `are_known "$synced$nl$desired$nl"${quote(others)} ${paths.length}`;
  const same = nameOf(paths, classes);
  return [
    ...(same ? [`replaced() { ${same} "$@"; }`] : words("replaced", paths)),
    `synced=${text(synced, isDigested)} desired=${text(desired, isDigested)}`,
    `got=$(short; replaced say_sums 2>/dev/null${isDigested ? " | sha256sum" : ""})`,
    'case $got in "$desired") now=desired ;; "$synced") now=synced ;;',
    `*) ${known} || verdict conflict content; now=synced ;;`,
    "esac",
  ];
}

/** What these paths are called already. */
function nameOf(paths: readonly string[], classes: readonly BatchClass[]): string | undefined {
  const names = classes.flatMap(({ plain, links }, index) => [
    { name: `plain${index}`, paths: plain },
    { name: `links${index}`, paths: links },
  ]);
  const isSame = (others: readonly string[]) =>
    others.length === paths.length && others.every((path, index) => path === paths[index]);
  return names.find((name) => isSame(name.paths))?.name;
}

/** `laid<index>` tells whether the files of a class are as they shall be, by `lines<index>` and their attributes. */
function laid({ plain, links, sums, modes }: BatchClass, index: number): string {
  const isDigested = sums.length > LONGEST_TEXT;
  const isOne = plain.length + links.length === 1;
  const stat = `stat -c "$f${index}"`;
  const stats = both(index, plain, links, { plain: stat, links: stat });
  const looks = both(index, plain, links, { plain: "sha256sum", links: "targets" });
  const wanted = modes.map(([mode]) => `${mode}:$u${index}:$g${index}\${nl}`).join("");
  return [
    `lines${index}=${text(sums, isDigested)}`,
    `laid${index}() {`,
    `plain${index} are_plain && links${index} are_links || return 1`,
    `got=$(short; { ${stats}${isOne ? "" : " | uniq"}; ${looks}${isDigested ? " | sha256sum" : ""}; } 2>/dev/null)`,
    `[ "$got" = "${wanted}$lines${index}" ]`,
    "}",
  ].join("\n");
}

/** Commands for the plain files and for the symlinks of a class, as one. */
function both(
  index: number,
  plain: readonly string[],
  links: readonly string[],
  commands: { readonly plain: string; readonly links: string },
): string {
  if (links.length === 0) return `plain${index} ${commands.plain}`;
  if (plain.length === 0) return `links${index} ${commands.links}`;
  return `{ plain${index} ${commands.plain}; links${index} ${commands.links}; }`;
}

/** Lays the next batch of standard input. */
function lay(each: BatchClass, index: number, sizes: readonly number[], rsyncPath: string): string {
  const { ownership, plain, links, sums, modes } = each;
  const options = readWords(ownership, plain.length + links.length)
    .map(quote)
    .join(" ");
  // rsync reads ahead, beyond the end of its batch.
  const input = sizes.length > 1 ? `head -c ${sizes[index]} | ` : "";
  const lines = sums.length > LONGEST_TEXT ? "" : `$lines${index}`;
  const runs = modes.map(([mode, count]) => `${mode} ${count} `).join("");
  return [
    // Kept until it has ended: one that cannot tell that its input was cut off leaves its other half behind, for ever.
    `said=$({ ${input}${rsyncPath} ${options}; } 2>&1) || failed $?`,
    `laid${index} || {`,
    `class=${index} i=0 left=0 lines=${lines} modes='${runs}' u=$u${index} g=$g${index} f=$f${index}`,
    `plain${index} compare`,
    `links${index} compare`,
    `verdict wrong ${index}`,
    "}",
  ].join("\n");
}

/** What is done when rsync fails: what cannot read a batch says its version. */
function failed(classes: readonly BatchClass[], rsyncPath: string): string {
  return [
    "all_parts() {",
    ...classes.flatMap((_, index) => [`plain${index} remove_parts`, `links${index} remove_parts`]),
    ":",
    "}",
    "failed() {",
    "code=$1",
    "all_parts",
    'printf "%s\\n" "$said" >&2',
    "version=",
    `case $code in 1 | 2 | 4) version=$(${rsyncPath} --version </dev/null 2>/dev/null) ;; esac`,
    'verdict failed rsync "$code" "${version%%"$nl"*}"',
    "}",
  ].join("\n");
}

/** A word that is what a program says, or what sha256sum says of that. */
function text(said: string, isDigested: boolean): string {
  if (isDigested) return `'${createHash("sha256").update(encodePath(said)).digest("hex")}  -'`;
  return quote(said.replace(/\n$/, ""));
}
