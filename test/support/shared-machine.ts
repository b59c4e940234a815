import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Fleet, FleetHost } from "./fleet.ts";

/**
 * A transport takes time to start and to connect: tests that come one after the other share it and the host, and each has
 * a root of its own there. After a test that does something to a host, the next one has another host.
 */
export class SharedMachine {
  readonly #hosts: Iterator<FleetHost>;
  #machine: FleetHost | undefined;
  #spoiled = false;
  #roots = 0;

  /** Takes the hosts of the fleet: it must have one more than there are tests that do something to theirs. */
  constructor(fleet: Fleet) {
    this.#hosts = fleet.hosts.values();
  }

  /** With an empty root. */
  next(): FleetHost {
    const machine = (this.#machine ??= this.#hosts.next().value);
    if (!machine) throw new Error("the fleet of these tests needs more hosts");
    const folder = `root-${++this.#roots}`;
    mkdirSync(join(machine.dir, folder));
    const spoil = <T extends readonly unknown[], R>(act: (...args: T) => R): ((...args: T) => R) => {
      return (...args) => {
        this.#spoiled = true;
        return act(...args);
      };
    };
    return {
      ...machine,
      root: join(machine.root, folder),
      dir: join(machine.dir, folder),
      down: spoil(machine.down),
      freeze: spoil(machine.freeze),
      cut: spoil(machine.cut),
      forceCommand: spoil(machine.forceCommand),
      changeHostKey: spoil(machine.changeHostKey),
    };
  }

  /** When a test is over. */
  async release(): Promise<void> {
    if (!this.#spoiled) return;
    await this.#machine?.down();
    this.#machine = undefined;
    this.#spoiled = false;
  }
}
