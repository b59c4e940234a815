import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, signalAll } from "../support/fleet/processes.ts";
import type { Fleet, FleetHost } from "../support/fleet.ts";

/** How a host can be no use; each is undone by `mend`. */
export const FAULTS = ["hangs in every command", "refuses", "answers nothing", "stands still"] as const;
export type Fault = (typeof FAULTS)[number];

/**
 * From the next connections on, hosts give up within 35 s a connection whose other end is silent. Nobody can tell them of
 * one that was given up while the network was away, and sshd's own default is two hours.
 */
export function noticeDeadConnections({ prefix }: Fleet): void {
  const settings = { time: 20, intvl: 5, probes: 3 };
  const lines = Object.entries(settings).map(
    ([name, value]) => `echo ${value} >/proc/sys/net/ipv4/tcp_keepalive_${name}`,
  );
  const [command, ...args] = [...prefix, "sh", "-ec", lines.join("\n")];
  run(command, args);
}

/** Faults of the hosts of a namespace fleet. */
export class HostFaults {
  readonly #fleet: Fleet;
  /** A file there makes the host of that name hang. */
  readonly #hangs: string;
  /** Of hosts that stand still: a connection that was given up at our end is not found any more. */
  readonly #stopped = new Map<FleetHost, readonly number[]>();

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    this.#hangs = join(fleet.dir, "hangs");
    mkdirSync(this.#hangs);
    const jail = join(fleet.dir, "jail.sh");
    const hang = `while [ -e "${this.#hangs}/$3" ]; do hung=1; sleep 1; done\n[ -z "$hung" ] || exit 1\n`;
    writeFileSync(jail, readFileSync(jail, "utf8").replace("\nexec ", `\n${hang}exec `));
  }

  async cause(fault: Fault, host: FleetHost): Promise<void> {
    switch (fault) {
      case "refuses":
        return await host.down();
      case "answers nothing":
        return await host.freeze();
      case "stands still":
        this.#stopped.set(host, this.#sessions(host));
        return signalAll(this.#stopped.get(host)!, "SIGSTOP");
      case "hangs in every command":
        return writeFileSync(join(this.#hangs, host.address), "");
    }
  }

  async mend(fault: Fault, host: FleetHost): Promise<void> {
    switch (fault) {
      case "refuses":
        return await host.up();
      case "answers nothing":
        return await host.thaw();
      case "stands still":
        return signalAll(this.#stopped.get(host) ?? [], "SIGCONT");
      case "hangs in every command":
        return rmSync(join(this.#hangs, host.address));
    }
  }

  /** The sshd processes that hold a connection to the host. */
  #sessions({ address }: FleetHost): number[] {
    const [command, ...args] = [...this.#fleet.prefix, "ss", "-Htnp", `src ${address}:22`];
    const found = run(command, args).matchAll(/"sshd[^"]*",pid=(\d+)/g);
    return [...new Set([...found].map((match) => Number(match[1])))];
  }
}
