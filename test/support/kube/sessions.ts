import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { FleetHost } from "../fleet.ts";

/** The environment variable that carries a controller's name to the hosts; the fleet's sshd takes it. */
const WHO = "FSSYNC_TEST_WHO";

/** One command that a host ran for a controller. */
export interface Session {
  readonly host: FleetHost;
  /** The controller's name. */
  readonly who: string;
  /** Place in the order of all beginnings and ends on this host. */
  readonly begin: number;
  /** Infinity while it runs. */
  end: number;
}

/**
 * What hosts really run, as they see it: each writes down the beginning and the end of every command
 * that it is given, and from which controller. A command has ended when the last of its processes has,
 * whatever became of the connection. Appends to one file have one order, so that no clock is needed.
 */
export class Sessions {
  readonly #hosts: readonly FleetHost[];

  private constructor(hosts: readonly FleetHost[]) {
    this.#hosts = hosts;
  }

  static async record(hosts: readonly FleetHost[]): Promise<Sessions> {
    for (const host of hosts) {
      writeFileSync(logOf(host), "");
      writeFileSync(fileOf(host, "hold"), "0 0\n");
      writeFileSync(fileOf(host, "session.sh"), script(host));
      await host.forceCommand(`/bin/sh ${fileOf(host, "session.sh")}`);
    }
    return new Sessions(hosts);
  }

  /**
   * From now on, or after so many commands more, a command gets nothing of what it is sent for so many
   * seconds; if the connection ends, it hears that at once.
   */
  hold(host: FleetHost, seconds: number, { after = 0 } = {}): void {
    writeFileSync(fileOf(host, "hold.new"), `${seconds} ${this.on(host).length + after}\n`);
    renameSync(fileOf(host, "hold.new"), fileOf(host, "hold"));
  }

  on(host: FleetHost): Session[] {
    const open = new Map<string, Session>();
    return readFileSync(logOf(host), "utf8")
      .split("\n")
      .flatMap((line, index) => {
        const [what, pid = "", who = ""] = line.split(" ");
        if (what === "end") open.get(pid)!.end = index;
        if (what !== "begin") return [];
        const session = { host, who, begin: index, end: Infinity };
        open.set(pid, session);
        return [session];
      });
  }

  all(): Session[] {
    return this.#hosts.flatMap((host) => this.on(host));
  }

  /** Pairs on one host of two controllers, of which one began before the other had ended. */
  overlaps(): [Session, Session][] {
    return this.#hosts.flatMap((host) => {
      const all = this.on(host);
      return all.flatMap((one) =>
        all
          .filter(({ who, begin }) => who !== one.who && begin > one.begin && begin < one.end)
          .map((other): [Session, Session] => [one, other]),
      );
    });
  }
}

/** The environment of a controller whose commands carry its name: `ssh` is the real one with a word more. */
export async function environmentOf(who: string, dir: string): Promise<Record<string, string>> {
  const folder = join(dir, `path-${who}`);
  await mkdir(folder, { recursive: true });
  const ssh = execFileSync("sh", ["-c", "command -v ssh"], { encoding: "utf8" }).trim();
  writeFileSync(join(folder, "ssh"), `#!/bin/sh\nexec ${ssh} -o SetEnv=${WHO}=${who} "$@"\n`, { mode: 0o755 });
  return { PATH: `${folder}:${process.env["PATH"]}` };
}

function logOf(host: FleetHost): string {
  return fileOf(host, "sessions");
}

/** Beside the host's root, where nothing is synced. */
function fileOf({ dir }: FleetHost, name: string): string {
  return join(dirname(dir), name);
}

function script(host: FleetHost): string {
  const folder = dirname(host.dir);
  return `
log=${folder}/sessions
echo "begin $$ $${WHO}" >> "$log"
read -r hold after < ${folder}/hold
if [ "$hold" = 0 ] || [ "$(grep -c ^begin "$log")" -le "$after" ]; then
  sh -c "$SSH_ORIGINAL_COMMAND"
else
  exec 3<&0
  fifo=${folder}/$$.fifo held=${folder}/$$.held
  mkfifo "$fifo"
  { timeout "$hold" cat <&3 > "$held"; exec cat "$held" - <&3; } > "$fifo" &
  sh -c "$SSH_ORIGINAL_COMMAND" < "$fifo" 3<&-
  code=$?
  kill $! 2> /dev/null
  rm -f "$fifo" "$held"
  (exit $code)
fi
code=$?
echo "end $$ $${WHO}" >> "$log"
exit $code
`;
}
