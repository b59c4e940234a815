import { setImmediate as breathe } from "node:timers/promises";
import { KnownHostsLine } from "./known-hosts-line.ts";
import type { PublicKey } from "./public-key.ts";

export type Verdict = "known" | "changed" | "revoked" | "unknown";

/** Lines that are looked at without a pause: some ten milliseconds. */
const SLICE = 2000;

/**
 * The lines of known_hosts files, as OpenSSH judges them. Every line with a hashed name has a salt of its own, so that only
 * a hash for each tells which ones name a host. That the key is known is found without it, by the lines that have the
 * key; only that it is not takes the `scan`.
 */
export class KnownHosts {
  /** By each name in lower case. */
  readonly #plain = new Map<string, KnownHostsLine[]>();
  readonly #patterned: KnownHostsLine[] = [];
  readonly #hashed: KnownHostsLine[] = [];
  /** The hashed ones by their key's base64. */
  readonly #hashedByKey = new Map<string, KnownHostsLine[]>();
  readonly #hashedTypes = new Set<string>();
  readonly #revoked: KnownHostsLine[] = [];
  readonly #authorities: KnownHostsLine[] = [];
  /** Hashed lines found for a name. */
  readonly #scanned = new Map<string, readonly KnownHostsLine[]>();

  /** Of the texts of some files. */
  static async of(...texts: readonly string[]): Promise<KnownHosts> {
    const known = new KnownHosts();
    const lines = texts.flatMap((text) => text.split("\n"));
    for (const [index, line] of lines.entries()) {
      known.add(line);
      if (index % SLICE === SLICE - 1) await breathe();
    }
    return known;
  }

  /** Takes up a line that was appended. */
  add(text: string): void {
    const line = KnownHostsLine.parse(text);
    if (line) this.#put(line);
  }

  /** What the name and the key are to each other. With `scanned` false "unknown" and "changed" are not sure. */
  verdict(name: string, key: PublicKey): Verdict {
    if (this.#revoked.some((line) => isOf(line, key) && line.matches(name))) return "revoked";
    const named = this.#named(name);
    if (named.some((line) => isOf(line, key))) return "known";
    if (this.#hashedByKey.get(key.base64)?.some((line) => isOf(line, key) && line.matches(name))) return "known";
    return named.some((line) => line.key) ? "changed" : "unknown";
  }

  /** Whether every line that names it is known. */
  scanned(name: string): boolean {
    return this.#hashed.length === 0 || this.#scanned.has(name);
  }

  /** Looks for the name in all hashed lines. */
  async scan(name: string): Promise<void> {
    if (this.scanned(name)) return;
    const found: KnownHostsLine[] = [];
    // Lines that are added meanwhile are looked at as well.
    for (let index = 0; index < this.#hashed.length; index++) {
      const line = this.#hashed[index];
      if (line?.matches(name)) found.push(line);
      if (index % SLICE === SLICE - 1) await breathe();
    }
    this.#scanned.set(name, found);
  }

  /** Types of the keys that the name has; before the scan perhaps some that it has not. */
  types(name: string): ReadonlySet<string> {
    const named = this.#named(name);
    if (named.length === 0 && !this.scanned(name)) return this.#hashedTypes;
    return new Set(named.flatMap((line) => line.key?.type ?? []));
  }

  /** Whether certificates of some authority are good for the name. */
  hasAuthority(name: string): boolean {
    return this.#authorities.some((line) => line.matches(name) && line.key);
  }

  #named(name: string): KnownHostsLine[] {
    return [
      ...(this.#plain.get(name) ?? []),
      ...this.#patterned.filter((line) => line.matches(name)),
      ...(this.#scanned.get(name) ?? []),
    ];
  }

  #put(line: KnownHostsLine): void {
    if (line.marker === "@revoked") this.#revoked.push(line);
    else if (line.marker === "@cert-authority") this.#authorities.push(line);
    else if (line.hashed) this.#putHashed(line);
    else if (line.patterned) this.#patterned.push(line);
    else for (const name of new Set(line.names.toLowerCase().split(","))) append(this.#plain, name, line);
  }

  #putHashed(line: KnownHostsLine): void {
    this.#hashed.push(line);
    this.#hashedTypes.add(line.type);
    append(this.#hashedByKey, line.base64, line);
    for (const [name, found] of this.#scanned) if (line.matches(name)) this.#scanned.set(name, [...found, line]);
  }
}

function isOf(line: KnownHostsLine, key: PublicKey): boolean {
  return line.base64 === key.base64 && line.key !== undefined;
}

function append(lines: Map<string, KnownHostsLine[]>, key: string, line: KnownHostsLine): void {
  const found = lines.get(key);
  if (found) found.push(line);
  else lines.set(key, [line]);
}
