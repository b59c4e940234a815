import { setTimeout as wait } from "node:timers/promises";
import type { FleetHost } from "../support/fleet.ts";
import type { Running, World } from "../support/world.ts";
import { APP } from "./bench-world.ts";
import { askSync } from "./fssync-way.ts";
import { FAULTS, HostFaults, type Fault } from "./host-faults.ts";

const FOLDER = "etc/app/conf.d";
/** Milliseconds between two looks at whether all hosts are well again. */
const LOOK_EVERY = 500;

export interface SoakOptions {
  readonly world: World;
  readonly controller: Running;
  /** The app's files as Git has them, path → content. */
  readonly files: ReadonlyMap<string, string>;
  readonly seed: number;
  /** Milliseconds between commits, on average. */
  readonly pause: number;
  /** Milliseconds for which a host is away at most. */
  readonly longestFault: number;
}

interface Away {
  readonly host: FleetHost;
  readonly fault: Fault;
  readonly until: number;
}

/** Commits one after the other while connections are cut and hosts are away for a while, by chance. */
export class Soak {
  /** What was done so far. */
  readonly done = { commits: 0, cut: 0, away: 0 };
  readonly #options: SoakOptions;
  readonly #files: Map<string, string>;
  readonly #faults: HostFaults;
  readonly #random: () => number;
  #away: Away[] = [];

  constructor(options: SoakOptions) {
    this.#options = options;
    this.#files = new Map(options.files);
    this.#faults = new HostFaults(options.world.fleet);
    this.#random = seeded(options.seed);
  }

  /** What every host must have in the end. */
  get files(): ReadonlyMap<string, string> {
    return this.#files;
  }

  /** Goes on for so many milliseconds. */
  async run(milliseconds: number): Promise<void> {
    const end = performance.now() + milliseconds;
    while (performance.now() < end) {
      await this.#commit();
      // By then the commit is on its way to some hosts.
      await wait(this.#random() * this.#options.pause);
      this.#cut();
      await this.#mend(performance.now());
      await this.#takeAway();
      await wait(this.#random() * this.#options.pause);
    }
  }

  /** Brings back every host and waits until each has one commit more: then each is connected to, once. */
  async calm(deadline: number): Promise<void> {
    await this.#mend(Infinity);
    await this.#commit();
    const end = performance.now() + deadline;
    for (;;) {
      // What was under way when its host was away may fail only now.
      const { hosts } = await askSync(this.#options.world, deadline);
      const bad = hosts.filter(({ state }) => state !== "Synced");
      if (bad.length === 0) return;
      const seed = `seed ${this.#options.seed}`;
      if (performance.now() > end) throw new Error(`${seed}: ${bad.length} not synced: ${JSON.stringify(bad[0])}`);
      await wait(LOOK_EVERY);
    }
  }

  /** Most commits change a file; some change many, bring one, or take one away. */
  async #commit(): Promise<void> {
    const count = ++this.done.commits;
    const changes = new Map<string, string | null>();
    const paths = [...this.#files.keys()];
    const change = (path: string) => changes.set(path, `commit ${count}\n${"key = value\n".repeat(count % 500)}`);
    change(this.#any(paths));
    if (count % 5 === 0) change(`${FOLDER}/more-${count}.conf`);
    if (count % 7 === 0) for (let more = 0; more < 20; more += 1) change(this.#any(paths));
    const removed = paths.find((path) => path.includes("/more-"));
    if (count % 10 === 0 && removed !== undefined) changes.set(removed, null);
    const inGit = [...changes].map(([path, text]): [string, string | null] => [`${APP}/${path}`, text]);
    await this.#options.world.repo.commit(Object.fromEntries(inGit));
    for (const [path, text] of changes) {
      if (text === null) this.#files.delete(path);
      else this.#files.set(path, text);
    }
  }

  /** One in a hundred hosts, one at least. */
  #cut(): void {
    const { hosts } = this.#options.world.fleet;
    for (let count = Math.ceil(hosts.length / 100); count > 0; count -= 1) {
      this.#any(hosts).cut();
      this.done.cut += 1;
    }
  }

  /** Now and then a host is away for a while, of each kind as often. */
  async #takeAway(): Promise<void> {
    const { world, longestFault } = this.#options;
    const host = this.#any(world.fleet.hosts);
    if (this.#random() > 0.5 || this.#away.some((one) => one.host === host)) return;
    const fault = FAULTS[this.done.away % FAULTS.length]!;
    await this.#faults.cause(fault, host);
    const until = performance.now() + (0.5 + this.#random() / 2) * longestFault;
    this.#away.push({ host, fault, until });
    this.done.away += 1;
  }

  async #mend(now: number): Promise<void> {
    for (const { host, fault } of this.#away.filter(({ until }) => until <= now)) await this.#faults.mend(fault, host);
    this.#away = this.#away.filter(({ until }) => until > now);
  }

  #any<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)]!;
  }
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
