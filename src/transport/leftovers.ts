import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";

const GONE_WITHIN = 2000;

/** Looks that must find nothing: one that forks while we look, as ssh does to become a master, can be missed once. */
const EMPTY_LOOKS = 2;

/**
 * Ends what a controller left running that was killed or may not work any more: an rsync that goes on by itself, or over a connection
 * that outlived its controller, would lay old files over those of the next sync. They are known by
 * their working folder, which is ours alone. Where there is no /proc nothing is found.
 */
export async function endLeftovers(dir: string): Promise<void> {
  const folder = await realpath(dir);
  const deadline = performance.now() + GONE_WITHIN;
  for (let empty = 0; empty < EMPTY_LOOKS && performance.now() < deadline; await setTimeout(10)) {
    const left = await processesIn(folder);
    for (const pid of left) kill(pid);
    empty = left.length === 0 ? empty + 1 : 0;
  }
}

async function processesIn(folder: string): Promise<number[]> {
  const names = await readdir("/proc").catch(() => []);
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const ours = await Promise.all(pids.map((pid) => isOurs(pid, folder)));
  return pids.filter((_, index) => ours[index]);
}

/** By its program too: an operator's shell may stand in the folder. */
async function isOurs(pid: number, folder: string): Promise<boolean> {
  try {
    if ((await readlink(`/proc/${pid}/cwd`)) !== folder) return false;
    return ["rsync", "ssh"].includes((await readFile(`/proc/${pid}/comm`, "utf8")).trim());
  } catch {
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
