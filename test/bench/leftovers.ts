import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { descendants } from "../support/fleet/processes.ts";
import { until, type FleetHost } from "../support/fleet.ts";
import type { Running, World } from "../support/world.ts";

/** What a controller and the hosts have open and running. */
export interface Held {
  /** Sockets of the controller. */
  readonly sockets: number;
  /** All that it has open. */
  readonly files: number;
  /** Processes that it started. */
  readonly children: number;
  /** sshd's processes of connections. */
  readonly sessions: number;
  /** What else runs on the hosts. */
  readonly strays: readonly string[];
}

export function heldNow(world: World, { child }: Running): Held {
  const open = openFiles(child.pid!);
  const ours = descendants(child.pid!);
  const hosts = onHosts(world, new Set([child.pid!, ...ours]));
  const isSession = (title: string) => title.startsWith("sshd: ");
  return {
    sockets: open.filter((target) => target.startsWith("socket:")).length,
    files: open.length,
    children: ours.length,
    sessions: hosts.filter(isSession).length,
    strays: hosts.filter((title) => !isSession(title)),
  };
}

/** When nothing is done any more what is not needed ends; what is held at the deadline when it does not. */
export async function heldWhenQuiet(
  world: World,
  controller: Running,
  { deadline, before }: { readonly deadline: number; readonly before: Held },
): Promise<Held> {
  let held = before;
  const isQuiet = () => {
    held = heldNow(world, controller);
    const { strays, sessions, sockets, children } = held;
    // A look at Git holds some of both for a moment.
    const isBack = sockets <= before.sockets && children <= before.children;
    return strays.length === 0 && sessions <= world.fleet.hosts.length && isBack;
  };
  await until(isQuiet, deadline, "what nobody needs to end").catch(() => undefined);
  return held;
}

/** What runs on the hosts, and is no sshd that waits for connections, when no controller runs. */
export function leftOnHosts(world: World): string[] {
  return onHosts(world, new Set());
}

/** Lists and batches below the data dir. */
export function leftInDataDir({ dataDir }: World): string[] {
  const names = readdirSync(dataDir, { recursive: true, encoding: "utf8" });
  return names.filter((name) => /(^|\/)(change|batch)-[^/]*$/.test(name));
}

/** Files of a host that it should not have, that it lacks, or that hold something else. */
export function wrongOnHost({ dir }: FleetHost, files: ReadonlyMap<string, string>): string[] {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  const found = new Set(entries.filter((entry) => !isParent(entry, dir, files)).map((entry) => below(entry, dir)));
  const more = [...found].filter((path) => !files.has(path)).map((path) => `${path} is there`);
  const wrong = [...files].filter(([path, text]) => !found.has(path) || readFileSync(join(dir, path), "utf8") !== text);
  return [...more, ...wrong.map(([path]) => `${path} is not as in Git`)];
}

interface Entry {
  readonly name: string;
  readonly parentPath: string;
  isDirectory(): boolean;
}

function isParent(entry: Entry, dir: string, files: ReadonlyMap<string, string>): boolean {
  const folder = `${below(entry, dir)}/`;
  return entry.isDirectory() && [...files.keys()].some((path) => path.startsWith(folder));
}

function below({ name, parentPath }: Entry, dir: string): string {
  return join(parentPath, name).slice(dir.length + 1);
}

/** Titles of the processes in the fleet's network, but for these and for the sshd that waits for connections. */
function onHosts({ fleet }: World, but: ReadonlySet<number>): string[] {
  // `ip netns exec <name>`: the name is a file whose inode is the namespace's.
  const network = `net:[${statSync(join("/run/netns", fleet.prefix.at(-1)!)).ino}]`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && !but.has(Number(name)))
    .flatMap((name) => {
      try {
        if (readlinkSync(`/proc/${name}/ns/net`) !== network) return [];
        const title = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        return title === "" || title.includes("[listener]") ? [] : [title];
      } catch {
        return [];
      }
    });
}

/** What each file descriptor of a process is. */
function openFiles(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return [readlinkSync(join(folder, fd))];
    } catch {
      // Closed in the meantime.
      return [];
    }
  });
}
