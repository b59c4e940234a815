import { quote } from "./rsync-args.ts";

/** What the guard says, each on a line of its own; `guard-report.ts` reads it. */
export const REPLACED = "fssync-replaced";
export const UNKEPT = "fssync-unkept";
export const HOME = "fssync-home";
export const GUARDED = "fssync-guarded";

/** The guard's exit code when a file could not be kept: nothing may be laid over it. */
export const UNKEPT_EXIT = 96;

/** Under the root; under the login's home where that cannot be made. The same in `guard-report.ts`. */
export const KEPT_IN_ROOT = "var/lib/fssync/replaced";
export const KEPT_IN_HOME = ".local/state/fssync/replaced";

/** Stamps of versions, as a shell's pattern: sorted by name they are sorted by time. */
const STAMPS = `${"[0-9]".repeat(8)}T${"[0-9]".repeat(6)}.${"[0-9]".repeat(3)}Z`;

/** Ends xargs at once: this host cannot do it. */
const CANNOT = 255;

/**
 * `linked F TOP`: whether F, TOP or a folder between is a symlink: what it leads to is not ours. `keep_version` copies
 * the file `$p` unless its newest version is the same: an app that fails again and again must not drive out older ones.
 */
const FUNCTIONS = `
linked() {
d=$1
while [ "\${#d}" -gt "\${#2}" ] && [ ! -L "$d" ]; do d=\${d%/*}; done
[ -L "$d" ]
}
beyond() {
case $1 in *//*) linked "\${1%/*}" "\${1%%//*}" ;; *) false ;; esac
}
checksum() {
if [ -L "$1" ]; then
t=$(readlink "$1"; echo .)
sum=$(printf %s "\${t%"$nl."}" | sha256sum)
else
sum=$(sha256sum <"$1") || sum=
fi
sum=\${sum%% *}
}
keep_newest() {
shift
while [ $# -gt "$keep" ]; do rm -f -- "$1"; shift; done
}
folder_in() {
folder=$1/$path
name=\${folder##*/} folder=\${folder%/*}
! linked "$folder" "\${1%/*}" || { why="$1 leads elsewhere"; return 1; }
why=$(umask 077; mkdir -p "$folder" 2>&1) || return 1
why="$folder: Permission denied"
[ -w "$folder" ]
}
choose_folder() {
(umask 022 && mkdir -p ./var/lib) 2>/dev/null
place=root
folder_in ./${KEPT_IN_ROOT} && return
place=home
[ -n "$HOME" ] && folder_in "$HOME/${KEPT_IN_HOME}"
}
keep_version() {
choose_folder || { printf '%s\\n' "${UNKEPT} $i \${why%%"$nl"*}"; return 1; }
newest=
for v in "$folder/$name".${STAMPS}; do
if [ -f "$v" ] || [ -L "$v" ]; then newest=$v; fi
done
if [ -n "$newest" ] && checksum "$newest" && [ "$sum" = "$found" ]; then
echo "${REPLACED} $i $place \${newest#"$folder/$name".}"
return
fi
why=$(umask 077; cp -pP "$p" "$folder/$name.$stamp" 2>&1) || {
rm -f "$folder/$name.$stamp"
printf '%s\\n' "${UNKEPT} $i \${why%%"$nl"*}"
return 1
}
echo "${REPLACED} $i $place $stamp"
keep_newest . "$folder/$name".${STAMPS}
}`;

/**
 * Each argument is `<number>/<known>/<path>`: checksums (or `folder`) that are known, with full stops between,
 * and a path, in which `//` stands behind a folder that must be no symlink. One sha256sum reads all
 * files; the empty one after each tells where the next begins, whatever their names are.
 */
const EACH = `
keep=$1 stamp=$2
shift 2
nl='
'
${FUNCTIONS}
command -v sha256sum >/dev/null || exit ${CANNOT}
split() {
i=\${e%%/*} p=\${e#*/}
known=\${p%%/*} path=\${p#*/}
p=./$path
}
for e do
split
[ ! -f "$p" ] || [ -L "$p" ] || beyond "$p" || printf '%s\\0' "$p"
printf '/dev/null\\0'
done | xargs -0 sha256sum 2>/dev/null | {
code=0
for e do
split
found=
while IFS= read -r line || exit ${CANNOT}; do
case $line in *'  /dev/null') break ;; esac
found=\${found:-$line}
done
found=\${found#\\\\} found=\${found%% *}
if beyond "$p"; then continue
elif [ -n "$found" ]; then :
elif [ -L "$p" ]; then checksum "$p"; found=$sum
elif [ -d "$p" ]; then found=folder
elif [ -e "$p" ]; then found=other
else continue
fi
case .$known. in *."$found".*) continue ;; esac
if [ "$keep" -gt 0 ] && { [ -f "$p" ] || [ -L "$p" ]; }; then keep_version || code=${UNKEPT_EXIT}
else echo "${REPLACED} $i none"
fi
done
exit $code
}`;

/** Reads arguments for `EACH` from standard input. Ends with UNKEPT_EXIT, or well: a host that cannot do it is told by silence. */
export function guardScript(root: string): string {
  return [
    "LC_ALL=C; export LC_ALL",
    `cd ${quote(root)} 2>/dev/null || { [ -e ${quote(root)} ] || echo ${GUARDED}; exit 0; }`,
    `echo "${HOME} $HOME"`,
    `xargs -0 sh -c ${quote(EACH)} sh "$1" "$2"`,
    "case $? in",
    `0) echo ${GUARDED} ;;`,
    `123) echo ${GUARDED}; exit ${UNKEPT_EXIT} ;;`,
    "esac",
    "exit 0",
  ].join("\n");
}
