import { describe, expect, test } from "vitest";
import type { Reason } from "../../../src/model/errors.ts";
import { isHostWide, runError } from "../../../src/transport/rsync-errors.ts";

const CLOSED = "rsync: connection unexpectedly closed (0 bytes received so far) [sender]";
const code = (number: number) => `rsync error: something (code ${number}) at io.c(285) [sender=3.5.0]`;

/** Exit code, stderr, reason, the line that is shown. */
const TABLE: readonly (readonly [number | null, string[], Reason, string])[] = [
  [255, ["ssh: connect to host 10.0.0.1 port 22: Connection refused"], "ConnectRefused", "Connection refused"],
  [255, ["ssh: connect to host 10.0.0.1 port 22: Connection timed out"], "ConnectTimeout", "timed out"],
  [
    255,
    ["Connection timed out during banner exchange", "Connection to 10.0.0.1 port 22 timed out"],
    "ConnectTimeout",
    "banner",
  ],
  [255, ["ssh: connect to host 10.0.0.1 port 22: No route to host"], "NetworkUnreachable", "No route"],
  [255, ["ssh: connect to host 10.0.0.1 port 22: Network is unreachable"], "NetworkUnreachable", "Network is"],
  [255, ["ssh: Could not resolve hostname web-1: Name or service not known"], "NameResolutionFailed", "web-1"],
  [255, ["root@10.0.0.1: Permission denied (publickey)."], "AuthFailed", "publickey"],
  [255, ["Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures"], "AuthFailed", "Too many"],
  [
    255,
    ['Load key "identity": error in libcrypto', "root@h: Permission denied (publickey)."],
    "SecretInvalid",
    "Load key",
  ],
  [
    255,
    [
      "@@@@@@@@@@@@@@@@",
      "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
      "It is also possible that a host key has just been changed.",
      "Host key for [127.0.0.1]:2222 has changed and you have requested strict checking.",
      "Host key verification failed.",
    ],
    "HostKeyMismatch",
    "Host key for [127.0.0.1]:2222 has changed",
  ],
  [
    255,
    [
      "No ED25519 host key is known for 10.0.0.1 and you have requested strict checking.",
      "Host key verification failed.",
    ],
    "HostKeyUnknown",
    "No ED25519 host key",
  ],
  [
    255,
    ["kex_exchange_identification: Connection closed by remote host", "Connection closed by 10.0.0.1 port 22"],
    "ConnectionLost",
    "kex",
  ],
  [255, ["kex_exchange_identification: read: Connection reset by peer"], "ConnectionLost", "kex"],
  [255, ["Connection closed by 10.0.0.1 port 22", CLOSED, code(255)], "ConnectionLost", "closed by 10.0.0.1"],
  [12, ["mux_client_read_packet: read header failed: Broken pipe", CLOSED, code(12)], "ConnectionLost", "mux_client"],
  [255, ["Timeout, server 10.0.0.1 not responding.", CLOSED, code(255)], "ConnectionLost", "not responding"],
  [255, ["Unable to negotiate with 10.0.0.1 port 22: no matching cipher found."], "ProtocolError", "negotiate"],
  [255, [""], "ConnectionLost", "255"],
  [12, ["sh: 1: exec: rsync: not found", CLOSED, code(12)], "RsyncMissing", "rsync: not found"],
  [127, ["bash: line 1: exec: rsync: not found", CLOSED, code(127)], "RsyncMissing", "exec: rsync"],
  [
    127,
    ["bash: rsync: command not found", CLOSED, "rsync error: remote command not found (code 127)"],
    "RsyncMissing",
    "bash",
  ],
  [12, ["sudo: rsync: command not found", CLOSED, code(12)], "RsyncMissing", "sudo: rsync"],
  [1, ["sudo: a password is required", CLOSED, code(1)], "SudoDenied", "password"],
  [
    23,
    [
      "sudo: unable to resolve host web1: Name or service not known",
      "rsync: mkstemp failed: No space left on device (28)",
    ],
    "NoSpace",
    "No space",
  ],
  [12, ["sh: 1: exec: sudo: not found", CLOSED, code(12)], "SudoDenied", "sudo"],
  [
    2,
    ["protocol version mismatch -- is your shell clean?", "(see the rsync manpage)", code(2)],
    "ProtocolError",
    "shell clean",
  ],
  [12, [CLOSED, code(12)], "ProtocolError", "unexpectedly closed"],
  [12, [CLOSED.replace("(0", "(812"), code(12)], "ConnectionLost", "unexpectedly closed"],
  [30, ["rsync error: timeout in data send/receive (code 30) at io.c(197)"], "SyncTimeout", "timeout"],
  [
    23,
    ['rsync: [receiver] mkstemp "/etc/.a.X" failed: Permission denied (13)', code(23)],
    "PermissionDenied",
    "mkstemp",
  ],
  [23, ['rsync: [receiver] mkstemp "/etc/.a.X" failed: Read-only file system (30)', code(23)], "ReadOnly", "Read-only"],
  [23, ['rsync: [receiver] rename failed for "/etc/a": Operation not permitted (1)', code(23)], "ReadOnly", "rename"],
  [
    23,
    ['rsync: [receiver] chown "/etc/.a.X" failed: Operation not permitted (1)', code(23)],
    "PermissionDenied",
    "chown",
  ],
  [
    11,
    ['rsync: [receiver] write failed on "/etc/a": No space left on device (28)', code(11)],
    "NoSpace",
    "write failed",
  ],
  [23, ['rsync: [receiver] mkstemp "/etc/.a.X" failed: Disk quota exceeded (122)', code(23)], "NoSpace", "quota"],
  [23, ["could not make way for new regular file: etc/a", code(23)], "TargetIsFolder", "make way"],
  [
    23,
    ['rsync: [sender] link_stat "/s/t/a" failed: No such file or directory (2)', code(23)],
    "SourceUnavailable",
    "link_stat",
  ],
  [24, ['file has vanished: "/s/t/a"', code(24)], "SourceUnavailable", "vanished"],
  [
    23,
    ['rsync: [generator] recv_generator: failed to stat "/etc/a": Not a directory (20)', code(23)],
    "PartialTransfer",
    "stat",
  ],
  [24, [code(24)], "PartialTransfer", "24"],
  [25, ["Deletions stopped due to --max-delete limit (1 skipped)", code(25)], "RsyncFailed", "max-delete"],
  [12, ["fssync-no-account user app", CLOSED, code(12)], "InvalidOwner", "user app does not exist on the host"],
  [
    97,
    ["fssync-no-account group ssl-cert", CLOSED, code(97)],
    "InvalidOwner",
    "group ssl-cert does not exist on the host",
  ],
  [0, ["Unknown --usermap name on receiver: app"], "InvalidOwner", "user app does not exist"],
  [97, ["fssync-not-root user app", CLOSED], "PermissionDenied", "may not give files to user app"],
  [null, [], "RsyncFailed", "ended by a signal"],
];

describe("how a run ended", () => {
  test.each(TABLE)("%s %j is %s", (exitCode, stderr, reason, text) => {
    const error = runError({ exitCode, stderr: stderr.join("\n") });
    expect(error?.reason).toBe(reason);
    expect(error?.message).toContain(text);
  });

  test("0 is success, whatever was said", () => {
    expect(runError({ exitCode: 0, stderr: "Warning: something\n" })).toBeNull();
  });

  test("partial transfers are never success", () => {
    expect(runError({ exitCode: 23, stderr: "" })).not.toBeNull();
    expect(runError({ exitCode: 24, stderr: "" })).not.toBeNull();
  });

  test("faults of the host concern all apps, faults of files one", () => {
    const wide = new Map(
      TABLE.map((row) => [row[2], isHostWide(runError({ exitCode: row[0], stderr: row[1].join("\n") })!)]),
    );
    expect(
      [...wide]
        .filter(([, is]) => !is)
        .map(([reason]) => reason)
        .toSorted(),
    ).toEqual([
      "InvalidOwner",
      "NoSpace",
      "PartialTransfer",
      "PermissionDenied",
      "ReadOnly",
      "RsyncFailed",
      "SourceUnavailable",
      "TargetIsFolder",
    ]);
  });
});
