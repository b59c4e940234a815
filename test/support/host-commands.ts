import { readdirSync, readFileSync } from "node:fs";
import { signalAll } from "./fleet/processes.ts";

/** All that runs on a host of a `ports` fleet because somebody asked its sshd for it, whoever its parent is by now. */
export function commandsOn({ port }: { readonly port: number }): number[] {
  const mark = new RegExp(`(?:^|\0)SSH_CONNECTION=\\S+ \\d+ \\S+ ${port}(?:\0|$)`);
  return processes().filter((pid) => mark.test(read(pid, "environ")));
}

/**
 * The host's connections are gone, as when its network is: what they had started is left to itself. `FleetHost.cut` ends
 * that as well.
 */
export function unplug(host: { readonly port: number }): void {
  const commands = new Set(commandsOn(host));
  const parents = new Set([...commands].map(parentOf)).difference(commands);
  signalAll(
    [...parents].filter((pid) => read(pid, "comm").startsWith("sshd")),
    "SIGKILL",
  );
}

function processes(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function parentOf(pid: number): number {
  const stat = read(pid, "stat");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

function read(pid: number, what: "environ" | "comm" | "stat"): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, "latin1");
  } catch {
    return "";
  }
}
