import { lstat, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { FssyncError } from "../model/errors.ts";
import { askMaster } from "./control-socket.ts";
import { endLeftovers } from "./leftovers.ts";

/** A unix socket's path has 108 bytes; ours takes 17 of them and ssh's temporary name 17 more. */
const SOCKET_DIR_LIMIT = 70;

/** As `Masters` names them, and as ssh does before one is ready. */
const CONTROL_SOCKET = /^[0-9a-f]{16}(?:\.\w+)?$/;

/** Milliseconds for a persistent connection to say that it lives. */
const ANSWER_TIMEOUT = 2000;

/** Lists of changes; a killed process leaves some behind. */
export const CHANGE_PREFIX = "change-";

/** Makes the folder for configuration, keys and lists, without what an earlier process left there or left running. */
export async function prepareWorkFolder(dir: string): Promise<void> {
  await privateFolder(dir);
  await endLeftovers(dir);
  const left = (await readdir(dir)).filter((name) => name.startsWith(CHANGE_PREFIX));
  await Promise.all(left.map((name) => rm(join(dir, name), { recursive: true, force: true })));
}

/**
 * Makes the folder for control sockets, without those behind which nobody is any more: with another `client` nobody would
 * come upon them. Whoever may write there can speak as us on every host.
 */
export async function prepareSocketFolder(dir: string): Promise<void> {
  if (!/^\/[A-Za-z0-9_./-]+$/.test(dir) || dir.length > SOCKET_DIR_LIMIT) {
    throw new FssyncError(
      "InvalidSpec",
      `the folder for ssh's control sockets must be an absolute path of at most ${SOCKET_DIR_LIMIT} plain characters: ${JSON.stringify(dir)}`,
    );
  }
  await privateFolder(dir);
  const left = (await readdir(dir)).filter((name) => CONTROL_SOCKET.test(name));
  await Promise.all(left.map((name) => removeDead(join(dir, name))));
}

async function removeDead(socket: string): Promise<void> {
  if (!(await askMaster(socket, "alive", ANSWER_TIMEOUT))) await rm(socket, { force: true });
}

async function privateFolder(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const found = await lstat(dir);
  const ours = process.getuid === undefined || found.uid === process.getuid();
  if (found.isDirectory() && ours && (found.mode & 0o077) === 0) return;
  throw new FssyncError("InvalidSpec", `${dir} must be a folder of this user that nobody else can enter (mode 0700)`);
}
