import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll } from "vitest";
import { RsyncTransport } from "../../../src/transport/rsync-transport.ts";
import { transportContract, type TransportFactory } from "../../contract/transport.ts";
import { transportDriftContract } from "../../contract/transport-drift.ts";
import { realClock } from "../../support/fleet-clock.ts";

const socketDir = mkdtempSync(join(tmpdir(), "s-"));
const log = pino({ level: "silent" });

afterAll(() => rmSync(socketDir, { recursive: true, force: true }));

// As the program uses it; that programs can also be started by this process itself is for the unit tests.
const launcher = new URL("../../../src/launcher-main.ts", import.meta.url);

const make: TransportFactory = (options) =>
  new RsyncTransport({ ...options, socketDir, sudo: false, client: "openssh", launcher, clock: realClock, log });

transportContract("RsyncTransport", make);
transportDriftContract("RsyncTransport", make);
