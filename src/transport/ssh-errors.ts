import type { Reason } from "../model/errors.ts";

export interface Fault {
  readonly reason: Reason;
  /** The line that says it. */
  readonly line: string;
}

/** What OpenSSH's client says, from its source. Each line of stderr is held against these in order. */
const PATTERNS: readonly (readonly [RegExp, Reason])[] = [
  [/^Load key .*(invalid format|error in libcrypto|incorrect passphrase|bad permissions)/, "SecretInvalid"],
  [/^Host key for .* has changed|REVOKED HOST KEY|host key .* revoked/i, "HostKeyMismatch"],
  [/host key is known for .* requested strict checking|^Host key verification failed/, "HostKeyUnknown"],
  [/Could not resolve hostname/, "NameResolutionFailed"],
  [/^ssh: connect to host .*: Connection refused/, "ConnectRefused"],
  [/^ssh: connect to host .*: (Connection|Operation) timed out|timed out during banner exchange/, "ConnectTimeout"],
  [/^ssh: connect to host /, "NetworkUnreachable"],
  [/^[^\s:]+: Permission denied \(|Too many authentication failures|no (more )?authentication methods/i, "AuthFailed"],
  [/^Unable to negotiate with|no matching .* found/, "ProtocolError"],
  [/^Connection to .* port \d+ timed out/, "ConnectTimeout"],
  [
    /kex_exchange_identification|ssh_exchange_identification|banner exchange|Not allowed at this time/,
    "ConnectionLost",
  ],
  [
    /^(Connection (closed|reset) by|Connection to .* closed|client_loop:|mux_client_|Timeout, server )/,
    "ConnectionLost",
  ],
  [
    /^(packet_write|ssh_dispatch_run_fatal|Received disconnect|Disconnected from|Connection .*Broken pipe)/,
    "ConnectionLost",
  ],
];

/** The fault that ssh names in its stderr; undefined when no line is one of ssh's. */
export function sshFault(stderr: string): Fault | undefined {
  const lines = stderr.split("\n").map((line) => line.trim());
  for (const line of lines) {
    const pattern = PATTERNS.find(([expression]) => expression.test(line));
    if (pattern) return { reason: pattern[1], line };
  }
  return undefined;
}

/** A key that was put into the secret a moment ago may be what the host asks for. */
export const KEYS_MAY_BE_OLD: ReadonlySet<Reason> = new Set<Reason>([
  "HostKeyUnknown",
  "HostKeyMismatch",
  "AuthFailed",
]);
