/** How each line begins that the script says. */
export const SAYS = "fssync-batch";

/** The line that asks for the batches. */
export const READY = `${SAYS} ready`;

/** The answer, in front of them: whoever gets none has outlived who asked for it, and must change nothing. */
export const GO = Buffer.from("go\n");

/** Seconds of CPU for a look at files that may be of any size. */
const SHORT_LOOK = 5;

/** Files that are told at most. */
const MOST_TOLD = 50;

/** How every script begins: with what a host must have. */
export const BASICS = `
nl='
'
LC_ALL=C; export LC_ALL; umask 022
verdict() {
echo "${SAYS} $*"
exit 1
}
for c in sha256sum stat readlink; do command -v $c >/dev/null || verdict lacks $c; done`;

/** busybox's head reads ahead: whoever reads on would miss that. */
export const HEAD_PROBE = `printf abcdef | { [ "$(head -c 3 2>/dev/null)" = abc ] && [ "$(cat)" = def ]; } || verdict lacks head`;

/** Looks at all paths that are given, without any process. */
const TESTS = `
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
}`;

/** What rsync's --delay-updates keeps of files that it could not put in place. */
const PARTS = `
no_parts() {
for p do
[ ! -d "$p/.~tmp~" ] || return 1
done
}
remove_parts() {
for p do
d=\${p%/*}/.~tmp~
[ ! -d "$d" ] || [ -L "$d" ] || { rm -f -- "$d/\${p##*/}"; rmdir -- "$d"; } 2>/dev/null
done
}`;

/** What sha256sum says of files, of a symlink that of its target. Only for subshells. */
const SUMS = `
targets() {
for p do
t=$(readlink "$p"; echo .)
t=$(printf %s "\${t%"$nl."}" | sha256sum)
printf '%s  %s\\n' "\${t%% *}" "$p"
done
}
say_sums() {
are_plain "$@" && exec sha256sum "$@"
for p do
if [ -L "$p" ]; then targets "$p"
elif [ -f "$p" ]; then sha256sum "$p"
elif [ -e "$p" ]; then printf 'other  %s\\n' "$p"
else printf 'none  %s\\n' "$p"
fi
done
}
short() {
ulimit -t ${SHORT_LOOK}
} 2>/dev/null`;

/**
 * `are_known LINES COUNT`: whether \`$got\` has so many lines, each one of these or of a file that is missing, which is nobody's
 * change. `compare` tells of each path, the next ones of a class, what of it is not as \`$modes\`, \`$u\`, \`$g\` and, if there are any,
 * \`$lines\` say.
 */
const EACH = `
told=0
tell() {
told=$((told + 1))
[ $told -gt ${MOST_TOLD} ] || echo "${SAYS} file $*"
}
are_known() {
i=0 bad=0 rest=$got$nl
while [ -n "$rest" ]; do
line=\${rest%%"$nl"*} rest=\${rest#*"$nl"}
case $line in none*) ;; *)
case $nl$1 in *"$nl$line$nl"*) ;; *) tell replaced $i content; bad=1 ;; esac ;;
esac
i=$((i + 1))
done
[ $i -eq "$2" ] && return $bad
}
compare() {
for p do
[ $told -lt ${MOST_TOLD} ] || return
[ $left -gt 0 ] || { mode=\${modes%% *} modes=\${modes#* } left=\${modes%% *} modes=\${modes#* }; }
left=$((left - 1))
line=\${lines%%"$nl"*} lines=\${lines#*"$nl"}
is=
case $mode in a*) are_links "$p" ;; *) are_plain "$p" ;; esac || is=kind
[ -L "$p" ] || [ -e "$p" ] || is=missing
if [ -z "$is" ]; then
case $(stat -c "$f" "$p") in
"$mode:$u:$g") [ -z "$line" ] || [ "$line" = "$(say_sums "$p")" ] || is=content ;;
"$mode":*) is=owner ;;
*) is=mode ;;
esac
fi
[ -z "$is" ] || tell "$class" $i $is
i=$((i + 1))
done
}`;

/** The functions of the script. `name command…` runs a command with the paths of that name. */
export const FUNCTIONS = `${TESTS}${PARTS}${SUMS}${EACH}`;
