import { asFssyncError, FssyncError, type Reason } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import { escapeControls } from "../process.ts";
import type { Attempt } from "./login.ts";

/** Characters of what a host says that are repeated. */
const LONGEST_WORDS = 300;

/** Of `getaddrinfo` and `connect`, in the words of the C library. */
const SYSTEM_FAULTS: ReadonlyMap<string, readonly [Reason, string]> = new Map([
  ["ENOTFOUND", ["NameResolutionFailed", "Name or service not known"]],
  ["EAI_AGAIN", ["NameResolutionFailed", "Temporary failure in name resolution"]],
  ["EAI_FAIL", ["NameResolutionFailed", "Non-recoverable failure in name resolution"]],
  ["EAI_NODATA", ["NameResolutionFailed", "No address associated with hostname"]],
  ["ECONNREFUSED", ["ConnectRefused", "Connection refused"]],
  ["ETIMEDOUT", ["ConnectTimeout", "Connection timed out"]],
  ["EHOSTUNREACH", ["NetworkUnreachable", "No route to host"]],
  ["EHOSTDOWN", ["NetworkUnreachable", "Host is down"]],
  ["ENETUNREACH", ["NetworkUnreachable", "Network is unreachable"]],
  ["ENETDOWN", ["NetworkUnreachable", "Network is down"]],
  ["EADDRNOTAVAIL", ["NetworkUnreachable", "Cannot assign requested address"]],
  ["EACCES", ["NetworkUnreachable", "Permission denied"]],
  ["EPERM", ["NetworkUnreachable", "Operation not permitted"]],
]);

/** What the controller itself has run out of. */
const EXHAUSTED: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EAGAIN"]);

/** What of `net` and `ssh2` keeps a host from being reached, as a reason, in the words of OpenSSH where it has some. */
export function connectError(host: Host, error: Error, attempt?: Attempt): FssyncError {
  if (error instanceof FssyncError) return error;
  const { code, level, syscall } = facts(error);
  const { address, port } = host;
  const of = (reason: Reason, message: string) => new FssyncError(reason, message, { cause: error });
  if (typeof code === "string" && EXHAUSTED.has(code)) {
    return of("ControllerExhausted", asFssyncError(error).message);
  }
  const system = typeof code === "string" ? SYSTEM_FAULTS.get(code) : undefined;
  if (system?.[0] === "NameResolutionFailed")
    return of(system[0], `Could not resolve hostname ${address}: ${system[1]}`);
  // The same codes can come later, of a connection that stood: that one is lost.
  if (system && syscall === "connect") return of(system[0], `connect to host ${address} port ${port}: ${system[1]}`);
  if (level === "client-authentication") return denied(host, error, attempt);
  if (level === "client-timeout") return of("ConnectTimeout", `connect to host ${address} port ${port}: timed out`);
  if (typeof code === "number") return disconnected(host, code, error, attempt);
  if (level === "handshake" && /no matching/.test(error.message)) {
    const what = error.message.replace(/^Handshake failed: /, "");
    return of("ProtocolError", `Unable to negotiate with ${address} port ${port}: ${what} found`);
  }
  if (code === "ECONNRESET" || code === "EPIPE")
    return of("ConnectionLost", `Connection reset by ${address} port ${port}`);
  return of("ConnectionLost", `Connection to ${address} port ${port}: ${printed(error.message)}`);
}

/** The host has ended it, and says why. */
function disconnected(host: Host, code: number, error: Error, attempt: Attempt | undefined): FssyncError {
  if (/Too many authentication failures/i.test(error.message)) return denied(host, error, attempt);
  const message = `Received disconnect from ${host.address} port ${host.port}:${code}: ${printed(error.message)}`;
  return new FssyncError("ConnectionLost", message, { cause: error });
}

function denied({ address, user }: Host, cause: Error, attempt: Attempt | undefined): FssyncError {
  const why = printed(attempt?.denied() ?? "Permission denied (publickey)", 1000);
  return new FssyncError("AuthFailed", `${user}@${address}: ${why}`, { cause });
}

/** Hosts choose these words. */
function printed(text: string, limit = LONGEST_WORDS): string {
  const shown = escapeControls(text).replaceAll("\n", " ");
  return shown.length > limit ? `${shown.slice(0, limit)}…` : shown;
}

/** What `net` and `ssh2` tell of an error; an attempt at several addresses of a name failed as the first of them did. */
function facts(error: Error): { code?: string | number; level?: string; syscall?: string } {
  const [first] = error instanceof AggregateError ? (error.errors as Error[]) : [];
  return (first ?? error) as { code?: string | number; level?: string; syscall?: string };
}
