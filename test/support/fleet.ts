/**
 * A fleet on one machine: real sshd, real rsync, real folders. Nothing leaves the loopback interface.
 *
 * - `ports`: an sshd per host on a free port of 127.0.0.1, as the current user; works without root.
 * - `namespace`: one sshd in a network namespace, where every address 127.x.y.z is a host whose own
 *   folder lies at one absolute path; needs root, carries hundreds of hosts.
 */
import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { NamespaceLab, namespaceUnavailable } from "./fleet/namespace.ts";
import { PortsLab } from "./fleet/ports.ts";
import { onProcessEnd } from "./fleet/processes.ts";
import { ensureRunFolder, makeKey } from "./fleet/sshd.ts";

export { until } from "./fleet/processes.ts";
export { namespaceUnavailable };

export interface FleetOptions {
  readonly hosts: number;
  readonly kind: "ports" | "namespace";
  /** Folder for everything; a temporary one that is removed at the end unless given. */
  readonly dir?: string;
}

export interface FleetHost {
  readonly address: string;
  readonly port: number;
  /** The `root` of the host object: what paths are laid under, as the host sees it. */
  readonly root: string;
  /** The same folder as this machine sees it. */
  readonly dir: string;
  /** The host vanishes: its sshd refuses, its sessions are cut. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** The host takes connections and never answers. */
  freeze(): void | Promise<void>;
  thaw(): void | Promise<void>;
  /** Cuts the sessions; new ones are welcome. */
  cut(): void;
  /** Sessions (connections) open now. */
  sessions(): number;
  /** Every session runs this instead of what is asked (`$SSH_ORIGINAL_COMMAND`); undefined undoes it. `ports` only. */
  forceCommand(command: string | undefined): Promise<void>;
  /** The host shows another key from now on. `ports` only. */
  changeHostKey(): Promise<void>;
  /** Its line for known_hosts, with the key it shows now. */
  knownHostsLine(): string;
}

/** What the two kinds have in common. */
export interface Lab extends AsyncDisposable {
  readonly hosts: FleetHost[];
  /** Words to put before a command so that it reaches the hosts; empty when nothing is needed. */
  readonly prefix: readonly string[];
  add(): Promise<FleetHost>;
  /** Everything that a dying process can still do. */
  kill(): void;
}

export interface Fleet extends AsyncDisposable {
  readonly hosts: readonly FleetHost[];
  readonly dir: string;
  readonly user: string;
  /** The private key that every host takes. */
  readonly identityFile: string;
  /** known_hosts of all hosts that were ever added, with the key they began with. */
  readonly knownHosts: string;
  /** Words to put before a command (`ip netns exec …`) so that it reaches the hosts. */
  readonly prefix: readonly string[];
  /** Set for `namespace`: faults of the network. */
  readonly network: Network | undefined;
  add(): Promise<FleetHost>;
}

export interface Network {
  /** Packets to the address disappear; running connections stall, new ones time out. */
  blackhole(address: string): void;
  unblackhole(address: string): void;
  /** This many of a hundred packets are lost, whatever their direction; 0 undoes it. */
  lose(percent: number): void;
}

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  ensureRunFolder();
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "fleet-")));
  const identityFile = join(dir, "id_ed25519");
  makeKey(identityFile);
  const labOptions = { dir, authorizedKeys: `${identityFile}.pub` };
  const lab = options.kind === "ports" ? new PortsLab(labOptions) : new NamespaceLab(labOptions);
  const cleanup = onProcessEnd(() => {
    lab.kill();
    if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
  });
  const knownHosts: string[] = [];

  async function add(): Promise<FleetHost> {
    const host = await lab.add();
    knownHosts.push(host.knownHostsLine());
    return host;
  }

  async function dispose(): Promise<void> {
    await lab[Symbol.asyncDispose]();
    cleanup[Symbol.dispose]();
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
  }

  try {
    for (let index = 0; index < options.hosts; index++) await add();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    hosts: lab.hosts,
    dir,
    user: userInfo().username,
    identityFile,
    get knownHosts() {
      return `${knownHosts.join("\n")}\n`;
    },
    prefix: lab.prefix,
    network: lab instanceof NamespaceLab ? lab : undefined,
    add,
    [Symbol.asyncDispose]: dispose,
  };
}
