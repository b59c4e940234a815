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

transportContract("OpenSshTransport", (options) => {
  return new OpenSshTransport({ ...options, socketDir, sudo: false, clock: realClock, log });
});
