import { BlockList, isIP, isIPv6 } from "node:net";
import { FssyncError } from "../../model/errors.ts";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8);
LOOPBACK.addAddress("::1", "ipv6");

/** Whether a host of a URL, a Host header or `--listen` is this machine itself: 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (isIP(bare) === 0) return bare.toLowerCase() === "localhost";
  return LOOPBACK.check(bare, isIPv6(bare) ? "ipv6" : "ipv4");
}

/** Throws InvalidSpec when an API that asks nobody who they are would be open to other machines. */
export function refuseOpenAddress(listenOn: string): void {
  const match = /^(.*):(\d+)$/.exec(listenOn);
  // What is no address at all is told by `listen`.
  if (!match || isLoopback(match[1]!)) return;
  throw new FssyncError(
    "InvalidSpec",
    `--listen ${listenOn}: without authentication the API is for this machine alone, and that address is not; ` +
      `give --tokens-secret or --kubernetes-auth, or listen on 127.0.0.1:${match[2]}; ` +
      `where only metrics and health are wanted, --metrics-listen ${listenOn}`,
  );
}
