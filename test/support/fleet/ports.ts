import { mkdirSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import type { FleetHost, Lab } from "../fleet.ts";
import { descendants, signalAll } from "./processes.ts";
import { Sshd } from "./sshd.ts";

const ADDRESS = "127.0.0.1";

/** An sshd per host on a port of its own. */
export class PortsLab implements Lab {
  readonly hosts: FleetHost[] = [];
  readonly prefix: readonly string[] = [];
  readonly #options: { readonly dir: string; readonly authorizedKeys: string };
  readonly #sshds: Sshd[] = [];

  constructor(options: { readonly dir: string; readonly authorizedKeys: string }) {
    this.#options = options;
  }

  async add(): Promise<FleetHost> {
    const folder = join(this.#options.dir, `host-${this.#sshds.length + 1}`);
    const root = join(folder, "root");
    mkdirSync(root, { recursive: true });
    const port = await freePort();
    const sshd = new Sshd({
      dir: join(folder, "sshd"),
      listen: ADDRESS,
      port,
      authorizedKeys: this.#options.authorizedKeys,
    });
    this.#sshds.push(sshd);
    await sshd.start();
    const host = portsHost(sshd, port, root);
    this.hosts.push(host);
    return host;
  }

  kill(): void {
    for (const sshd of this.#sshds) sshd.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sshds.map((sshd) => sshd.stop()));
  }
}

function portsHost(sshd: Sshd, port: number, root: string): FleetHost {
  async function restart(): Promise<void> {
    await sshd.stop();
    await sshd.start();
  }
  return {
    address: ADDRESS,
    port,
    root,
    dir: root,
    down: () => sshd.stop(),
    up: () => sshd.start(),
    freeze: () => sshd.freeze(),
    thaw: () => sshd.thaw(),
    cut: () => signalAll(sshd.pid === undefined ? [] : descendants(sshd.pid), "SIGKILL"),
    sessions: () => (sshd.pid === undefined ? 0 : descendants(sshd.pid).length),
    async forceCommand(command) {
      sshd.forceCommand = command;
      await restart();
    },
    async changeHostKey() {
      sshd.newHostKey();
      await restart();
    },
    knownHostsLine: () => `[${ADDRESS}]:${port} ${sshd.publicKey}`,
  };
}

const given = new Set<number>();

/** A port that nobody listens on now, and that was not handed out before by this process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, ADDRESS, resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    if (!given.has(port)) {
      given.add(port);
      return port;
    }
  }
}
