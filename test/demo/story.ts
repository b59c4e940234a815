import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { statusTable } from "../../src/cli/status-table.ts";
import type { FleetHost } from "../support/fleet.ts";
import type { Controller, World } from "../support/world.ts";
import { Checkout } from "./checkout.ts";
import { APPS, CACHE, difference, type HostFiles, HOSTS, inRepo, modeOn, name, WEB } from "./files.ts";
import type { Screen } from "./screen.ts";

/** How long each thing may take. */
const DEADLINE = 20_000;

interface Parts {
  readonly world: World;
  readonly screen: Screen;
  readonly signal: AbortSignal;
  readonly checkout: Checkout;
}

/** What the demo shows, a method a step. Each throws when what it tells did not happen in time. */
export class Story {
  readonly measured = new Map<string, number>();
  readonly #parts: Parts;
  readonly #web: FleetHost[];
  readonly #cache: readonly FleetHost[];
  readonly #new: FleetHost;
  #controller: Controller | undefined;
  #webFiles: HostFiles = WEB;

  private constructor(parts: Parts) {
    this.#parts = parts;
    const { hosts } = parts.world.fleet;
    this.#web = hosts.slice(0, HOSTS.web);
    this.#cache = hosts.slice(HOSTS.web, -HOSTS.new);
    this.#new = hosts.at(-1)!;
  }

  static async begin(parts: Omit<Parts, "checkout">): Promise<Story> {
    const { world, signal } = parts;
    signal.throwIfAborted();
    const checkout = await Checkout.clone(world.repo.url, join(world.dir, "checkout"));
    const story = new Story({ ...parts, checkout });
    await world.assign(APPS.web, story.#web);
    await world.assign(APPS.cache, story.#cache);
    return story;
  }

  async converge(start: () => Promise<Controller>): Promise<void> {
    const { screen, signal } = this.#parts;
    screen.step(`The controller starts; ${this.#web.length + this.#cache.length} hosts are empty`);
    screen.line(`Git: ${APPS.web} and ${APPS.cache}. CMDB: ${this.#web.length} hosts and ${this.#cache.length}.`);
    signal.throwIfAborted();
    const began = performance.now();
    this.#controller = await Promise.race([start(), rejectedBy(signal)]);
    await this.#inTime("all hosts have what Git has", () => this.#lacking(this.#web) ?? this.#cacheLacking());
    this.#tell("all 8 hosts have exactly the files of Git", "start → all hosts", began);
    const mode = modeOn(this.#cache[0]!, "etc/redis/redis.conf");
    if (mode !== "0640") throw new Error(`redis.conf has mode ${mode} on a host, .gitattributes says 0640`);
    screen.seen("redis.conf has mode 0640 there, as .gitattributes says");
  }

  async pushCommit(): Promise<void> {
    const { screen } = this.#parts;
    screen.step("A commit is pushed: one file changed, one added, one deleted");
    const began = await this.#push("shop speaks TLS", {
      "etc/nginx/conf.d/shop.conf": "server { listen 443 ssl; server_name shop.example.com; }\n",
      "etc/nginx/conf.d/tls.conf": "ssl_protocols TLSv1.3;\n",
      "etc/nginx/conf.d/old.conf": null,
    });
    await this.#inTime("all hosts of the app have the commit", () => this.#lacking(this.#web));
    this.#tell(`all ${this.#web.length} hosts of ${APPS.web} have it, old.conf is gone`, "commit → all hosts", began);
  }

  async addHost(): Promise<void> {
    const { screen, world } = this.#parts;
    screen.step("A new host appears in the CMDB; nobody calls anything");
    this.#web.push(this.#new);
    await world.assign(APPS.web, this.#web);
    const began = performance.now();
    await this.#inTime("the new host has what Git has", () => this.#lacking([this.#new]));
    this.#tell(
      `${name(this.#new)} has all ${Object.keys(this.#webFiles).length} files`,
      "new in the CMDB → synced",
      began,
    );
  }

  async outage(): Promise<void> {
    const { screen } = this.#parts;
    const [down, ...others] = this.#web as [FleetHost, ...FleetHost[]];
    screen.step(`${name(down)} goes down, and a commit is pushed meanwhile`);
    await down.down();
    const began = await this.#push("more workers", { "etc/nginx/nginx.conf": "worker_processes 16;\nevents {}\n" });
    await this.#inTime("the other hosts have the commit", () => this.#lacking(others));
    this.#tell(`the other ${others.length} hosts have it, nobody waited`, "commit → all others", began);
    await this.#inTime("the host is Unreachable", () => this.#stateIsNot(down, "Unreachable"));
    screen.seen(`\`fssync status\` says ${name(down)} is Unreachable`);
    await down.up();
    const up = performance.now();
    await this.#inTime("the host has caught up", () => this.#lacking([down]));
    this.#tell("it is up again and has caught up by itself", "up again → synced", up);
  }

  async status(): Promise<void> {
    const { screen, world } = this.#parts;
    screen.step("What people see: fssync status");
    await this.#inTime("every host is Synced", async () => {
      const { repos } = await world.status();
      const host = repos.flatMap(({ hosts }) => hosts).find(({ state }) => state !== "Synced");
      return host && `${host.address}:${host.port} is ${host.state}`;
    });
    const table = statusTable(await world.status(), { terminal: screen.terminal, wide: true });
    screen.block(`\n${table}\n`);
    const series = ['fssync_sync_total{repo="files",result="success"}', 'fssync_inventory_hosts{repo="files"}'];
    screen.line(`Metrics: ${this.#controller!.url}/metrics`);
    for (const one of series) screen.line(`  ${one} ${await this.#controller!.metric(one)}`);
  }

  /** Says how to look at it, and waits for Ctrl-C. */
  async keep(): Promise<void> {
    const { screen, world, signal } = this.#parts;
    const secrets = join(world.dir, "secrets");
    const flags = `-f ${world.configFile} --data-dir ${world.dataDir} --secrets-dir ${secrets} --allow-file-urls`;
    screen.title("It goes on until Ctrl-C.");
    screen.line(`status    npm run -s fssync -- status -o wide ${flags}`);
    screen.line(`metrics   curl ${this.#controller!.url}/metrics`);
    screen.line(`push to   git clone ${world.repo.url} && …, folders: ${APPS.web}, ${APPS.cache}`);
    screen.line(`CMDB      curl '${world.cmdb.url}/api/all'`);
    screen.line(`hosts     ls ${this.#web[0]!.dir}, and its like`);
    if (!signal.aborted) await once(signal, "abort");
  }

  /** Pushes changes of the web app; returns when that was. */
  async #push(message: string, changes: Readonly<Record<string, string | null>>): Promise<number> {
    const { checkout, screen } = this.#parts;
    await checkout.push(message, inRepo(APPS.web, changes));
    const began = performance.now();
    const files = Object.entries({ ...this.#webFiles, ...changes });
    this.#webFiles = Object.fromEntries(files.filter((entry): entry is [string, string] => entry[1] !== null));
    screen.line(`git push: "${message}"`);
    return began;
  }

  #tell(text: string, measure: string, began: number): void {
    const took = performance.now() - began;
    this.measured.set(measure, took);
    this.#parts.screen.seen(text, took);
  }

  #lacking(hosts: readonly FleetHost[]): string | undefined {
    return firstOf(hosts, (host) => difference(host, this.#webFiles));
  }

  #cacheLacking(): string | undefined {
    return firstOf(this.#cache, (host) => difference(host, CACHE));
  }

  async #stateIsNot(host: FleetHost, state: string): Promise<string | undefined> {
    const { repos } = await this.#parts.world.status();
    const found = repos.flatMap(({ hosts }) => hosts).find(({ port }) => port === host.port)?.state;
    return found === state ? undefined : `it is ${found ?? "unknown"}`;
  }

  /** Waits until nothing is in the way; `obstacle` says what still is. */
  async #inTime(what: string, obstacle: () => string | undefined | Promise<string | undefined>): Promise<void> {
    const end = performance.now() + DEADLINE;
    for (;;) {
      const found = await obstacle();
      if (found === undefined) return;
      if (performance.now() > end) throw new Error(`"${what}" took more than ${DEADLINE / 1000} s: ${found}`);
      await wait(10, undefined, { signal: this.#parts.signal });
    }
  }
}

/** Never resolves; rejects when the signal aborts. */
async function rejectedBy(signal: AbortSignal): Promise<never> {
  await once(signal, "abort");
  throw signal.reason;
}

function firstOf(hosts: readonly FleetHost[], look: (host: FleetHost) => string | undefined): string | undefined {
  for (const host of hosts) {
    const found = look(host);
    if (found !== undefined) return found;
  }
  return undefined;
}
