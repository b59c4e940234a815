import { FssyncError, type Reason } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";

/** What of `net` and `ssh2` keeps a host from being reached, as a reason. */
export function connectError({ address, port, user }: Host, error: Error): FssyncError {
  const { code, level } = error as { code?: string; level?: string };
  const where = `${address} port ${port}`;
  const of = (reason: Reason, message: string) => new FssyncError(reason, message, { cause: error });
  if (level === "client-authentication") return of("AuthFailed", `${user}@${address}: Permission denied (publickey)`);
  if (level === "client-timeout") return of("ConnectTimeout", `connect to ${where}: timed out`);
  if (level === "handshake") return of("ProtocolError", `${where}: ${error.message}`);
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return of("NameResolutionFailed", `${address}: ${error.message}`);
  if (code === "ECONNREFUSED") return of("ConnectRefused", `connect to ${where}: Connection refused`);
  if (code === "ETIMEDOUT") return of("ConnectTimeout", `connect to ${where}: timed out`);
  if (code === "EHOSTUNREACH" || code === "ENETUNREACH" || code === "EADDRNOTAVAIL")
    return of("NetworkUnreachable", `connect to ${where}: ${error.message}`);
  if (code === "EMFILE" || code === "ENFILE") return of("ControllerExhausted", error.message);
  return of("ConnectionLost", `${where}: ${error.message}`);
}
