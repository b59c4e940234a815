import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { prepareSocketFolder } from "../../../src/transport/folders.ts";

const [DEAD, BEGUN, LIVING] = ["00000000000000aa", "00000000000000bb.Xy12", "00000000000000cc"];

/** What PROTOCOL.mux calls MUX_S_ALIVE. */
const ALIVE = Buffer.from([0, 0, 0, 4, 0x80, 0, 0, 5]);

test("control sockets behind which nobody is any more are removed, and nothing else", async () => {
  const dir = await mkdtemp(join(tmpdir(), "sockets-"));
  onTestFinished(() => rm(dir, { recursive: true }));
  await killedMaster(join(dir, DEAD));
  await killedMaster(join(dir, BEGUN));
  const living = createServer((socket) => socket.end(ALIVE)).listen(join(dir, LIVING));
  onTestFinished(() => void living.close());
  await once(living, "listening");
  await writeFile(join(dir, "notes"), "");
  expect(await readdir(dir)).toHaveLength(4);
  await prepareSocketFolder(dir);
  expect((await readdir(dir)).toSorted()).toEqual([LIVING, "notes"]);
});

/** Leaves its socket behind. */
async function killedMaster(path: string): Promise<void> {
  const script = `require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
  await once(spawn(process.execPath, ["-e", script, path]), "exit");
}
