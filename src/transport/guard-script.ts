import { quote } from "./rsync-args.ts";
import { BOUNDED } from "./session.ts";

/** What the guard says, each on a line of its own; `guard-report.ts` reads it. */
export const REPLACED = "fssync-replaced";
export const UNKEPT = "fssync-unkept";
export const HOME = "fssync-home";
export const GUARDED = "fssync-guarded";

/** The guard's exit code when a file could not be kept: nothing may be laid over it. */
export const UNKEPT_EXIT = 96;

/** Under the root; under the login's home where that cannot be made or others may write on the way to it. */
export const KEPT_IN_ROOT = "var/lib/fssync/replaced";
export const KEPT_IN_HOME = ".local/state/fssync/replaced";

/** Stamps of versions, as a shell's pattern: sorted by name they are sorted by time. */
const STAMPS = `${"[0-9]".repeat(8)}T${"[0-9]".repeat(6)}.${"[0-9]".repeat(3)}Z`;

/** Bytes of a version that is kept in any case; beyond it, four times what the file may have. */
const ALWAYS_KEPT = 16 * 1024 * 1024;

/** Ends xargs at once: this host cannot do it. */
const CANNOT = 255;

/**
 * `linked F TOP`: whether F, TOP or a folder between is a symlink: what it leads to is not ours. `checksum` also reads what
 * may have been put there this moment, so it follows no symlink.
 */
const LOOKING = `
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
fi 2>/dev/null
sum=\${sum%% *}
}`;

/**
 * Whoever owns a folder of the root may have put anything there to make root write elsewhere. `ours TOP BELOW`: whether
 * TOP and the folders of BELOW that exist are folders, no symlinks, which only this login and root may write; sticky does not count.
 * What is made below such folders nobody else can touch.
 */
const FOLDERS = `
ours() {
d=$1 rest=$2/
set -- "$1/."
while [ -n "$rest" ]; do
d=$d/\${rest%%/*} rest=\${rest#*/}
[ -e "$d" ] || [ -L "$d" ] || break
set -- "$@" "$d"
done
me=\${me:-$(id -u)}
why=$(stat -c '%u:%A' "$@" 2>&1) || return 1
facts=$why
for d do
fact=\${facts%%"$nl"*} facts=\${facts#*"$nl"}
case $fact in
"$me":d????-??-?* | 0:d????-??-?*) ;;
*:d*) why="others may write in $d"; return 1 ;;
*) why="$d: Not a directory"; return 1 ;;
esac
done
}
folder_in() {
folder=$1/$2/$path
name=\${folder##*/} folder=\${folder%/*}
ours "$1" "\${folder#"$1/"}" || return 1
why=$({ umask 022 && mkdir -p "$1/\${2%/*/*}" && umask 077 && mkdir -p "$folder"; } 2>&1) || return 1
why="$folder: Permission denied"
[ -w "$folder" ]
}
choose_folder() {
place=root
folder_in . ${KEPT_IN_ROOT} && return
place=home
[ -n "$HOME" ] && folder_in "$HOME" ${KEPT_IN_HOME}
}`;

/**
 * `keep_version` copies the file `$p` unless its newest version is the same: an app that fails again and again must not
 * drive out older ones. The copy is made in a new folder and renamed: it is never written onto what has its name, and has it
 * only when it is whole. `keep_newest` never drops the version just made: the clock may have been set back.
 */
const KEEPING = `
keep_newest() {
set -- "$folder/$name".${STAMPS}
left=$#
for v do
[ "$left" -gt "$keep" ] || break
[ "$v" = "$version" ] || { rm -f -- "$v"; left=$((left - 1)); }
done
}
copy_version() {
version=$folder/$name.$stamp new=$folder/.new.$stamp
rm -rf -- "$folder"/.new.${STAMPS}
why="$version: File exists"
[ ! -e "$version" ] && [ ! -L "$version" ] || return 1
why=$({ umask 077 && mkdir "$new" && cp -pP "$p" "$new/v" && mv "$new/v" "$version"; } 2>&1)
code=$?
rm -rf -- "$new"
return $code
}
keep_version() {
most=${ALWAYS_KEPT}
[ $((4 * \${max:-0})) -le "$most" ] || most=$((4 * max))
size=$(stat -c %s "$p" 2>/dev/null)
[ "\${size:-0}" -le "$most" ] || { echo "${REPLACED} $i none"; return; }
choose_folder || { printf '%s\\n' "${UNKEPT} $i \${why%%"$nl"*}"; return 1; }
[ "$found" != other ] || { checksum "$p"; found=\${sum:-other}; }
newest=
for v in "$folder/$name".${STAMPS}; do
if [ -f "$v" ] || [ -L "$v" ]; then newest=$v; fi
done
if [ -n "$newest" ] && checksum "$newest" && [ "$sum" = "$found" ]; then
echo "${REPLACED} $i $place \${newest#"$folder/$name".}"
return
fi
copy_version || { printf '%s\\n' "${UNKEPT} $i \${why%%"$nl"*}"; return 1; }
echo "${REPLACED} $i $place $stamp"
keep_newest
}`;

/**
 * Each argument is `<number>/<known>/<size>/<path>`: checksums (or `folder`) that are known, with full stops between,
 * the bytes that the file has at most, if that is known, and a path, in which `//` stands behind a folder that must be no
 * symlink. One stat asks for all sizes and one sha256sum reads all files that are not too large; the empty one after each
 * tells where the next begins, whatever their names are.
 */
const EACH = `
keep=$1 stamp=$2
shift 2
nl='
'
${LOOKING}
${FOLDERS}
${KEEPING}
command -v stat >/dev/null && command -v sha256sum >/dev/null || exit ${CANNOT}
split() {
i=\${e%%/*} p=\${e#*/}
known=\${p%%/*} p=\${p#*/}
max=\${p%%/*} path=\${p#*/}
p=./$path
}
for e do
split
[ ! -f "$p" ] || [ -L "$p" ] || beyond "$p" || printf '%s\\0' "$p"
printf '/dev/null\\0'
done | xargs -0 stat -c '%s %f' 2>/dev/null | {
for e do
split
size=
while IFS= read -r line || exit; do
case $line in *' 2'*) break ;; esac
size=\${line% *}
done
[ -z "$size" ] || [ "$size" -gt "\${max:-$size}" ] || printf '%s\\0' "$p"
printf '/dev/null\\0'
done
} | xargs -0 sha256sum 2>/dev/null | {
unkept=0
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
if [ "$keep" -gt 0 ] && { [ -f "$p" ] || [ -L "$p" ]; }; then keep_version || unkept=${UNKEPT_EXIT}
else echo "${REPLACED} $i none"
fi
done
exit $unkept
}`;

/**
 * Reads arguments for `EACH` from standard input; its own are `LEADER`, how many versions to keep, and the stamp. Ends with
 * UNKEPT_EXIT, or well: a host that cannot do it is told by silence.
 */
export function guardScript(root: string): string {
  return [
    BOUNDED,
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
