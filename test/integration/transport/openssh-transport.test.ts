import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll } from "vitest";
import { OpenSshTransport } from "../../../src/transport/openssh-transport.ts";
import { transportContract } from "../../contract/transport.ts";
import { realClock } from "../../support/fleet-clock.ts";

const socketDir = mkdtempSync(join(tmpdir(), "s-"));
const log = pino({ level: "silent" });

afterAll(() => rmSync(socketDir, { recursive: true, force: true }));

// As the program uses it; that programs can also be started by this process itself is for the unit tests.
const launcher = new URL("../../../src/launcher-main.ts", import.meta.url);

transportContract("OpenSshTransport", (options) => {
  return new OpenSshTransport({ ...options, socketDir, sudo: false, launcher, clock: realClock, log });
});
