import { FssyncError, type Reason } from "../model/errors.ts";
import { FOREIGN_OWNER_MARKER, OWNER_MARKER } from "./rsync-args.ts";
import { sshFault, type Fault } from "./ssh-errors.ts";

/**
 * How a command that ran on a host ended. rsync's exit code alone does not tell much: when the other
 * side ends first, it is 12 or the other side's code, whichever rsync sees first. So the text comes
 * first, the code decides what no text explains.
 */
interface Ending {
  readonly exitCode: number | null;
  readonly stderr: string;
}

/** sudo says so and goes on. */
const SUDO_WARNING = /^sudo: (unable to resolve host |setrlimit\()/;

/** What rsync, sudo, the remote shell and the kernel say. A line is held against these in order. */
const PATTERNS: readonly (readonly [RegExp, Reason])[] = [
  [/^sudo: .*rsync.*(command not found|not found)/, "RsyncMissing"],
  // It also warns, and goes on.
  [
    /^sudo: (?!unable to resolve host |setrlimit\()|(^|[: ])sudo: (command )?not found|not in the sudoers file|unknown command: sudo/i,
    "SudoDenied",
  ],
  [/(^|[: /])rsync: ((command )?not found|No such file or directory$|inaccessible)/, "RsyncMissing"],
  [/command not found: rsync|unknown command:? .*rsync|remote command not found/i, "RsyncMissing"],
  [/Unknown --(user|group)map name on receiver/, "InvalidOwner"],
  [/is your shell clean|protocol version mismatch|unexpected tag|invalid message|over-long vstring/i, "ProtocolError"],
  [/No space left on device|Disk quota exceeded/, "NoSpace"],
  [/Read-only file system/, "ReadOnly"],
  [
    /(chown|chgrp|chmod|set_acl|set_xattr|utimes|set permissions|set times) .*Operation not permitted/,
    "PermissionDenied",
  ],
  [/Operation not permitted/, "ReadOnly"],
  [/Permission denied/, "PermissionDenied"],
  [/could not make way for new |cannot delete non-empty directory|Is a directory/, "TargetIsFolder"],
  [
    /^file has vanished: |\[sender\].*(link_stat|readlink_stat|send_files failed to open|read errors mapping)/,
    "SourceUnavailable",
  ],
  [
    /^rsync: .*(fork|pipe).*(Resource temporarily unavailable|Too many open files|Cannot allocate)/,
    "ControllerExhausted",
  ],
];

const LONGEST_LINE = 500;

/** Lines that explain nothing when another one is there. */
const NOISE = [
  /^@+$/,
  /^rsync error: /,
  /^rsync warning: /,
  /^rsync: connection unexpectedly closed/,
  /^WARNING: /,
  SUDO_WARNING,
];

/** What rsync's own codes mean when no text says more. */
const CODES: ReadonlyMap<number, Reason> = new Map([
  [2, "ProtocolError"],
  [10, "ConnectionLost"],
  [12, "ProtocolError"],
  [14, "ControllerExhausted"],
  [23, "PartialTransfer"],
  [24, "PartialTransfer"],
  [30, "SyncTimeout"],
  [35, "SyncTimeout"],
  [127, "RsyncMissing"],
  [255, "ConnectionLost"],
]);

/** Faults of the way to the host or of the host as a whole: another run for one app cannot do better. */
const HOST_WIDE: ReadonlySet<Reason> = new Set<Reason>([
  "AuthFailed",
  "HostKeyMismatch",
  "HostKeyUnknown",
  "SyncTimeout",
  "SudoDenied",
  "RsyncMissing",
  "ProtocolError",
  "ControllerExhausted",
  "ControllerNoSpace",
  "SecretInvalid",
  "Interrupted",
  "Internal",
]);

export function isHostWide(error: FssyncError): boolean {
  return error.info.state === "Unreachable" || HOST_WIDE.has(error.reason);
}

/** The error of an ended run; null when it succeeded. */
export function runError(ending: Ending): FssyncError | null {
  const fault = accountFault(ending.stderr);
  if (fault) return new FssyncError(fault.reason, fault.line);
  if (ending.exitCode === 0) return null;
  const { reason, line } = namedFault(ending) ?? codeFault(ending);
  return new FssyncError(reason, shortened(line));
}

/** Whether an account was missing, so that the host did not even begin. */
export function isAccountFault(stderr: string): boolean {
  return accountFault(stderr) !== undefined;
}

/** A host can say one line of any length; what is stored and told for each failure stays short. */
function shortened(line: string): string {
  return line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line;
}

function accountFault(stderr: string): Fault | undefined {
  const missing = new RegExp(`^${OWNER_MARKER} (user|group) (\\S+)$`, "m").exec(stderr);
  if (missing) return { reason: "InvalidOwner", line: `${missing[1]} ${missing[2]} does not exist on the host` };
  const foreign = new RegExp(`^${FOREIGN_OWNER_MARKER} (user|group) (\\S+)$`, "m").exec(stderr);
  if (foreign) {
    const line = `the login is not root and may not give files to ${foreign[1]} ${foreign[2]}`;
    return { reason: "PermissionDenied", line };
  }
  const unknown = /^Unknown --(user|group)map name on receiver: (.*)$/m.exec(stderr);
  return unknown
    ? { reason: "InvalidOwner", line: `${unknown[1]} ${unknown[2]} does not exist on the host` }
    : undefined;
}

function namedFault({ exitCode, stderr }: Ending): Fault | undefined {
  // rsync reports on files with 11, 23, 24 and 25 only after both sides have talked to the end.
  const talked = exitCode === 11 || exitCode === 23 || exitCode === 24 || exitCode === 25;
  const fault = talked ? undefined : sshFault(stderr);
  if (fault) return fault;
  for (const line of lines(stderr)) {
    const pattern = PATTERNS.find(([expression]) => expression.test(line));
    if (pattern) return { reason: pattern[1], line };
  }
  return undefined;
}

function codeFault({ exitCode, stderr }: Ending): Fault {
  const all = lines(stderr);
  const line = all.find((each) => !NOISE.some((noise) => noise.test(each))) ?? all[0] ?? endText(exitCode);
  const cut = /^rsync: connection unexpectedly closed \((\d+) bytes received so far\)/m.exec(stderr);
  // Somebody answered as rsync does and then fell silent; who never answered is no rsync.
  if (cut && cut[1] !== "0") return { reason: "ConnectionLost", line };
  return { reason: (exitCode === null ? undefined : CODES.get(exitCode)) ?? "RsyncFailed", line };
}

function lines(stderr: string): string[] {
  return stderr
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

function endText(exitCode: number | null): string {
  return exitCode === null ? "ended by a signal" : `ended with exit code ${exitCode}`;
}
