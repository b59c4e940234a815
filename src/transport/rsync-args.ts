import type { Host } from "../model/host.ts";
import type { RsyncRun } from "./ssh-client.ts";

/** Printed by the host, with what is missing after it, when an account is missing there. */
export const OWNER_MARKER = "fssync-no-account";
export const FOREIGN_OWNER_MARKER = "fssync-not-root";
const OWNER_EXIT = 97;

/** What files of one run have in common. */
export interface Ownership {
  readonly owner: string;
  readonly group: string;
  /** Permission bits to set; null when the snapshot's are right already. */
  readonly mode: number | null;
}

export interface Remote {
  readonly host: Host;
  readonly sudo: boolean;
  /** rsync on the host. */
  readonly rsyncPath: string;
  /** Seconds without a byte. */
  readonly ioTimeout: number;
}

/** Relative to the folder that rsync is started in, but for the sockets. */
export interface FileList {
  readonly list: string;
  /** Absolute folder the list is relative to. */
  readonly source: string;
}

/**
 * Sends the files of a list with one ownership.
 *
 * No `-r`, `.` or `-a`: a folder is never an object of its own, so that no attribute of /etc changes.
 * `--no-implied-dirs` keeps folders and symlinked folders of the host as they are. No `--delete`,
 * no `--inplace`. No `-t`: the time of arrival is what an operator looks for. `guard` is shell that the
 * host runs before anything is sent.
 */
export function sendRun(remote: Remote, { list, source }: FileList, ownership: Ownership, guard?: string): RsyncRun {
  const { owner, group, mode } = ownership;
  const options = [
    "-lpog",
    "--checksum",
    "--delay-updates",
    ...listArgs(list),
    `--chown=${owner}:${group}`,
    ...(mode === null ? [] : [chmodArg(mode)]),
    ...remoteArgs(remote),
  ];
  return run(options, remoteRsync(remote, ownership, guard), source, remote.host);
}

/**
 * Deletes the paths of a list, which `source` lacks. `source` must hold their parent folders, empty:
 * without them rsync takes the paths for vanished and deletes nothing. `--existing` keeps it from making
 * those parents on a host that has lost them.
 */
export function deleteRun(remote: Remote, { list, source }: FileList, count: number): RsyncRun {
  const options = [
    "-lpog",
    ...listArgs(list),
    "--existing",
    "--delete-missing-args",
    `--max-delete=${count}`,
    ...remoteArgs(remote),
  ];
  return run(options, remoteRsync(remote), source, remote.host);
}

export function chmodArg(mode: number): string {
  return `--chmod=F${mode.toString(8).padStart(4, "0")}`;
}

function run(options: string[], rsyncPath: string, source: string, { root }: Host): RsyncRun {
  return { options, rsyncPath, source: `${source}/`, destination: root.endsWith("/") ? root : `${root}/` };
}

export function listArgs(list: string): string[] {
  return ["--from0", `--files-from=${list}`, "--no-implied-dirs"];
}

function remoteArgs({ ioTimeout }: Remote): string[] {
  // --secluded-args under the name that every version knows: paths never meet the host's shell.
  return ["-s", `--timeout=${ioTimeout}`];
}

/**
 * What the host's shell runs. New folders are to be 0755 whatever the login's umask is. An account
 * that is missing must stop rsync before it begins: rsync itself would warn, keep another owner and
 * exit 0.
 */
function remoteRsync({ sudo, rsyncPath }: Remote, ownership?: Ownership, guard?: string): string {
  const checks = ownership ? accountChecks(ownership, sudo) : [];
  return [
    ...checks,
    ...(guard === undefined ? [] : [guard]),
    "umask 022;",
    sudo ? "exec sudo -n" : "exec",
    rsyncPath,
  ].join(" ");
}

export function accountChecks({ owner, group }: Ownership, sudo: boolean): string[] {
  const checks: string[] = [];
  // root is there on every host, and a login that is not root cannot give it anything: for such a
  // login the default owner means itself.
  if (owner !== "root" && !isNumeric(owner)) {
    checks.push(`id -u ${quote(owner)} >/dev/null 2>&1 || ${stop(`${OWNER_MARKER} user ${owner}`)};`);
    if (!sudo) checks.push(mayGive(`"$(id -un)"`, quote(owner), `user ${owner}`));
  }
  if (group !== "root" && !isNumeric(group)) {
    const known = `{ getent group ${quote(group)} || grep ${quote(`^${group.replaceAll(".", "[.]")}:`)} /etc/group; }`;
    checks.push(`${known} >/dev/null 2>&1 || ${stop(`${OWNER_MARKER} group ${group}`)};`);
    if (!sudo) checks.push(mayGive(`" $(id -Gn) "`, `*${quote(` ${group} `)}*`, `group ${group}`));
  }
  return checks;
}

/** Only root gives files away; any other login keeps them, or gives them to a group it is in. */
function mayGive(own: string, pattern: string, what: string): string {
  return `case ${own} in ${pattern}) ;; *) [ "$(id -u)" = 0 ] || ${stop(`${FOREIGN_OWNER_MARKER} ${what}`)} ;; esac;`;
}

function stop(message: string): string {
  return `{ echo ${quote(message)} >&2; exit ${OWNER_EXIT}; }`;
}

function isNumeric(name: string): boolean {
  return /^\d+$/.test(name);
}

/** One word for a POSIX shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
