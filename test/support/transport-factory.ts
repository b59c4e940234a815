import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { RsyncTransport, type RsyncTransportOptions } from "../../src/transport/rsync-transport.ts";
import { realClock } from "./fleet-clock.ts";
import { onProcessEnd } from "./fleet/processes.ts";

/** Which of its ways a transport goes. */
export type TransportWay = Required<Pick<RsyncTransportOptions, "client" | "batches">>;

export type ContractOptions = Pick<RsyncTransportOptions, "dir" | "secret" | "hostKeys" | "connectTimeout"> &
  Partial<Pick<RsyncTransportOptions, "log">>;

// As the program uses it; that programs can also be started by this process itself is for the unit tests.
const launcher = new URL("../../src/launcher-main.ts", import.meta.url);

/** Makes transports as the program has them. */
export function transportFactory(way: TransportWay): (options: ContractOptions) => RsyncTransport {
  const socketDir = mkdtempSync(join(tmpdir(), "s-"));
  onProcessEnd(() => rmSync(socketDir, { recursive: true, force: true }));
  const log = pino({ level: "silent" });
  return (options) =>
    new RsyncTransport({ log, ...options, ...way, socketDir, sudo: false, launcher, clock: realClock });
}
