import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { pino } from "pino";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { SqliteStatusStore } from "../../../src/store/sqlite-status-store.ts";

export const silent = pino({ level: "silent" });

export function recordingLog() {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)) as Record<string, unknown>);
      done();
    },
  });
  return { lines, log: pino({}, stream) };
}

export async function newFile(): Promise<string> {
  return join(await mkdtemp(join(tmpdir(), "fssync-store-")), "data", "state.db");
}

export async function openStore(file: string, log = silent): Promise<SqliteStatusStore> {
  const store = new SqliteStatusStore({ file, clock: systemClock, log });
  await store.open();
  return store;
}
