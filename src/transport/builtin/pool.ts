import type { Host } from "../../model/host.ts";

/** What a pool keeps. */
export interface Pooled extends AsyncDisposable {
  readonly alive: boolean;
  readonly ended: Promise<unknown>;
}

export interface PoolOptions<C extends Pooled> {
  /** Connections kept at most: beyond it the one unused for longest is closed. */
  readonly limit: number;
  readonly open: (host: Host, signal: AbortSignal) => Promise<C>;
}

interface Entry<C> {
  readonly opening: Promise<C>;
  users: number;
  retired: boolean;
}

/** One connection per host, kept for the next use. */
export class Pool<C extends Pooled> {
  readonly #options: PoolOptions<C>;
  /** In order of use, the latest last. */
  readonly #entries = new Map<string, Entry<C>>();

  constructor(options: PoolOptions<C>) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Rejects as `open` and as `use` do. */
  async with<T>(host: Host, signal: AbortSignal, use: (connection: C) => Promise<T>): Promise<T> {
    const key = keyOf(host);
    const entry = this.#entries.get(key) ?? this.#open(key, host, signal);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.users++;
    try {
      return await use(await entry.opening);
    } finally {
      entry.users--;
      if (entry.users === 0 && entry.retired) await close(entry);
    }
  }

  /** Ends the host's connection, so that the next use opens a new one. */
  async drop(host: Host): Promise<void> {
    const key = keyOf(host);
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    if (entry) await close(entry);
  }

  /** Ends every connection, those in use after their use: the keys they were made with have changed. */
  async retireAll(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const entry of entries) entry.retired = true;
    await Promise.all(entries.filter(({ users }) => users === 0).map(close));
  }

  async endAll(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map(close));
  }

  #open(key: string, host: Host, signal: AbortSignal): Entry<C> {
    this.#evict();
    const opening = this.#options.open(host, signal);
    const entry: Entry<C> = { opening, users: 0, retired: false };
    const forget = () => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    };
    opening.then((connection) => connection.ended).then(forget, forget);
    return entry;
  }

  #evict(): void {
    if (this.#entries.size < this.#options.limit) return;
    const idle = this.#entries.entries().find(([, { users }]) => users === 0);
    if (!idle) return;
    this.#entries.delete(idle[0]);
    void close(idle[1]);
  }
}

function keyOf({ user, key }: Host): string {
  return `${user}@${key}`;
}

async function close<C extends Pooled>({ opening }: Entry<C>): Promise<void> {
  const connection = await opening.catch(() => undefined);
  await connection?.[Symbol.asyncDispose]();
}
