/** Seconds of CPU that a program of a script has on a host: a file can be as large as nobody thought. */
const CPU_LIMIT = 120;

/** The process that sshd started for this command, for the script that `BOUNDED` begins. */
export const LEADER = '"$$"';

/**
 * How a script begins that may work for long; its first argument is `LEADER`. sshd ends nothing when a connection ends, so
 * the script watches whether the leader's parent, which is sshd's process of the connection, is still the same, and
 * then ends all that it started. Where the leader leads no process group of its own, or there is no /proc, only the
 * limit holds: nobody else's processes are ended.
 */
export const BOUNDED = `
ulimit -t ${CPU_LIMIT} 2>/dev/null
leader=$1
shift
connection() {
parent= group=
{ read -r _ _ _ parent group _ <"/proc/$leader/stat"; } 2>/dev/null
}
if connection && [ "$group" = "$leader" ]; then
began=$parent
(trap 'kill $pause; exit' TERM
while kill -0 $$ && connection && [ "$parent" = "$began" ]; do
sleep 2 & pause=$!
wait $pause
done
[ "$parent" = "$began" ] || kill 0) </dev/null >/dev/null 2>&1 &
trap "kill $! 2>/dev/null" EXIT
fi`;
