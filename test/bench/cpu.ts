import { readdirSync, readFileSync } from "node:fs";

/** Linux counts in hundredths of a second whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100;

/** Milliseconds between two looks at all processes of the machine: looking costs time that the hosts need, too. */
const LOOK_EVERY = 500;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** Own and of ended children, in milliseconds. */
  readonly cpu: number;
  readonly rss: number;
}

export interface MeterOptions {
  /** Milliseconds. */
  readonly lookEvery?: number;
}

/**
 * Watches a process, what it started, and the ssh masters that left its family: they are known by the
 * folder of their sockets, which stands in their title.
 */
export class Meter implements Disposable {
  readonly #root: number;
  readonly #socketDir: string | undefined;
  readonly #before: number;
  #peak = 0;
  readonly #timer: NodeJS.Timeout;

  /** Without `socketDir` no master is looked for. */
  constructor(root: number, socketDir: string | undefined, { lookEvery = LOOK_EVERY }: MeterOptions = {}) {
    this.#root = root;
    this.#socketDir = socketDir;
    this.#before = this.#cpu();
    this.#timer = setInterval(() => this.#sample(), lookEvery);
  }

  /** CPU in milliseconds since the meter was made, and the most memory seen at one time, in bytes. */
  read(): { cpu: number; peak: number } {
    const family = this.#sample();
    return { cpu: cpuOf(family) - this.#before, peak: this.#peak };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #sample(): Stat[] {
    const family = this.#family();
    const memory = family.reduce((sum, { rss }) => sum + rss, 0);
    this.#peak = Math.max(this.#peak, memory);
    return family;
  }

  #cpu(): number {
    return cpuOf(this.#family());
  }

  #family(): Stat[] {
    const all = processes();
    const found = new Set([this.#root]);
    for (let grown = true; grown;) {
      grown = false;
      for (const { pid, parent } of all) {
        if (found.has(pid) || !found.has(parent)) continue;
        found.add(pid);
        grown = true;
      }
    }
    return all.filter(({ pid }) => found.has(pid) || this.#isMaster(pid));
  }

  #isMaster(pid: number): boolean {
    return this.#socketDir !== undefined && read(`/proc/${pid}/cmdline`).includes(this.#socketDir);
  }
}

function cpuOf(family: readonly Stat[]): number {
  return family.reduce((sum, { cpu }) => sum + cpu, 0);
}

/** All live processes; a child that ended counts with the parent that waited for it. */
function processes(): Stat[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const text = read(`/proc/${name}/stat`);
    // The name in parentheses may hold anything; the fields after it do not.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (fields.length < 22) return [];
    const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
    const cpu = (ticks * 1000) / TICKS_PER_SECOND;
    return [{ pid: Number(name), parent: Number(fields[1]), cpu, rss: Number(fields[21]) * 4096 }];
  });
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
