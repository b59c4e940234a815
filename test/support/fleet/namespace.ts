import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FleetHost, Lab, Network } from "../fleet.ts";
import { hasCommand, run, signalAll } from "./processes.ts";
import { Sshd } from "./sshd.ts";

let count = 0;

/** Why a namespace fleet cannot be had here; undefined when it can. */
export function namespaceUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return "not root";
  if (!["ip", "ss", "nft", "unshare", "mount"].every(hasCommand)) return "ip, ss, nft, unshare or mount is missing";
  const probe = spawnSync("unshare", ["-nm", "true"], { stdio: "ignore" });
  return probe.status === 0 ? undefined : "namespaces are not allowed";
}

/** One sshd in a network namespace of its own; every 127.x.y.z there is a host. */
export class NamespaceLab implements Lab, Network {
  readonly hosts: FleetHost[] = [];
  readonly prefix: readonly string[];
  /** What every host sees its own folder as. */
  readonly mountPoint: string;
  readonly #name: string;
  readonly #folders: string;
  readonly #sshd: Sshd;
  #started = false;

  constructor({ dir, authorizedKeys }: { readonly dir: string; readonly authorizedKeys: string }) {
    this.#name = `fleet-${process.pid}-${++count}`;
    this.prefix = ["ip", "netns", "exec", this.#name];
    this.mountPoint = `/opt/${this.#name}`;
    this.#folders = join(dir, "hosts");
    const jail = join(dir, "jail.sh");
    mkdirSync(this.#folders, { recursive: true });
    writeFileSync(jail, jailScript(this.#folders, this.mountPoint));
    chmodSync(jail, 0o755);
    const sshd = { dir: join(dir, "sshd"), listen: "0.0.0.0", port: 22, authorizedKeys, forceCommand: jail };
    this.#sshd = new Sshd({ ...sshd, prefix: this.prefix });
  }

  async add(): Promise<FleetHost> {
    if (!this.#started) await this.#start();
    const number = this.hosts.length + 1;
    const address = `127.${77 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
    const dir = join(this.#folders, address);
    mkdirSync(dir);
    const host = this.#host(address, dir);
    this.hosts.push(host);
    return host;
  }

  blackhole(address: string): void {
    // A route out of an interface that nobody listens behind: packets are sent and never answered.
    this.#ip("route", "replace", `${address}/32`, "dev", "hole0", "table", "local");
  }

  unblackhole(address: string): void {
    this.#ip("route", "del", `${address}/32`, "table", "local");
  }

  lose(percent: number): void {
    // Not netem: few kernels have it.
    this.#inside("nft", "add table inet fleet; delete table inet fleet");
    if (percent === 0) return;
    this.#inside(
      "nft",
      `add table inet fleet; add chain inet fleet loss { type filter hook input priority 0; };` +
        ` add rule inet fleet loss numgen random mod 100 < ${percent} drop`,
    );
  }

  kill(): void {
    this.#sshd.kill();
    this.#remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sshd.stop();
    this.#remove();
  }

  async #start(): Promise<void> {
    const reason = namespaceUnavailable();
    if (reason !== undefined) throw new Error(`no namespace fleet here: ${reason}`);
    this.#started = true;
    removeLeftNamespaces();
    mkdirSync(this.mountPoint, { recursive: true });
    run("ip", ["netns", "add", this.#name]);
    this.#ip("link", "set", "lo", "up");
    this.#ip("link", "add", "hole0", "type", "veth", "peer", "name", "hole1");
    this.#ip("link", "set", "hole0", "arp", "off", "up");
    this.#ip("link", "set", "hole1", "up");
    this.#inside("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet");
    await this.#sshd.start();
  }

  #remove(): void {
    if (!this.#started) return;
    this.#started = false;
    spawnSync("ip", ["netns", "del", this.#name]);
    try {
      rmdirSync(this.mountPoint);
    } catch {
      // Somebody put something into it: not ours to remove.
    }
  }

  #ip(...args: string[]): void {
    run("ip", ["-n", this.#name, ...args]);
  }

  #inside(...args: string[]): string {
    return run(this.prefix[0]!, [...this.prefix.slice(1), ...args]);
  }

  #host(address: string, dir: string): FleetHost {
    const route = [`${address}/32`, "table", "local"];
    const onlyPorts = () => Promise.reject(new Error("one sshd serves the whole namespace fleet: use kind `ports`"));
    const sessions = () => this.#sessions(address);
    return {
      address,
      port: 22,
      root: this.mountPoint,
      dir,
      down: async () => {
        this.#ip("route", "replace", "unreachable", ...route);
        signalAll(sessions(), "SIGKILL");
      },
      up: async () => this.#ip("route", "del", ...route),
      freeze: () => this.blackhole(address),
      thaw: () => this.unblackhole(address),
      cut: () => signalAll(sessions(), "SIGKILL"),
      sessions: () => sessions().length,
      forceCommand: onlyPorts,
      changeHostKey: onlyPorts,
      knownHostsLine: () => `${address} ${this.#sshd.publicKey}`,
    };
  }

  /** The sshd processes that hold a connection to this address. */
  #sessions(address: string): number[] {
    const lines = this.#inside("ss", "-Htnp", "state", "established", `src ${address}:22`).split("\n");
    const pids = lines.flatMap((line) => [...line.matchAll(/"sshd[^"]*",pid=(\d+)/g)].map((match) => Number(match[1])));
    return [...new Set(pids)];
  }
}

/** A process that was killed could not remove its namespace. */
function removeLeftNamespaces(): void {
  for (const [name, pid] of run("ip", ["netns", "list"]).matchAll(/^fleet-(\d+)-\d+/gm)) {
    if (existsSync(`/proc/${pid}`)) continue;
    spawnSync("ip", ["netns", "del", name]);
    spawnSync("rmdir", [`/opt/${name}`]);
  }
}

/** Puts the folder of the address that was called at the common path, for this session only. */
function jailScript(folders: string, mountPoint: string): string {
  return `#!/bin/sh
set -- $SSH_CONNECTION
exec unshare -m sh -c 'mount --bind "${folders}/$1" "${mountPoint}" && exec sh -c "$SSH_ORIGINAL_COMMAND"' sh "$3"
`;
}
