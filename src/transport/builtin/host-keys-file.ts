import { mkdir } from "node:fs/promises";
import { isIPv6, SocketAddress } from "node:net";
import { dirname } from "node:path";
import { FssyncError } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import { canCheck, hostKeyAlgorithms, type HostKeyAlgorithm } from "./algorithms.ts";
import type { HostKeys } from "./host-keys.ts";
import { KnownHosts, type Verdict } from "./known-hosts.ts";
import { KnownHostsFiles } from "./known-hosts-files.ts";
import { describeKey, shownKey, typeName, type PublicKey } from "./public-key.ts";

export interface FileHostKeysOptions {
  /** known_hosts files, absolute; new keys go to the first one. */
  readonly files: readonly string[];
  readonly hostKeys: "strict" | "accept-new";
}

const SSH_PORT = 22;

/** Writers of each file, one after the other: two that learn at once must not each find the host unknown. */
const writers = new Map<string, Promise<unknown>>();

/** Which keys hosts may show, by known_hosts files, with OpenSSH's verdicts. */
export class FileHostKeys implements HostKeys {
  readonly #options: FileHostKeysOptions;
  readonly #files: KnownHostsFiles;
  #known = new KnownHosts();
  /** Keys of hosts whose own key was refused, while a certificate could be good. */
  #certified = new Set<string>();

  constructor(options: FileHostKeysOptions) {
    this.#options = options;
    this.#files = new KnownHostsFiles(options.files);
  }

  /** Looks at the files again, when they have changed. Throws HostKeyUnknown for one that cannot be read. */
  async refresh(): Promise<void> {
    this.#use(await this.#files.current());
  }

  /** Another object than before when what is known has changed otherwise than by new hosts that were learned. */
  get state(): object {
    return this.#known;
  }

  /** Whether the host would be let in with this key now. */
  believes(host: Host, wire: Buffer): boolean {
    return verdictFor(this.#known, host, shownKey(wire)) === "known";
  }

  algorithms(host: Host): readonly HostKeyAlgorithm[] {
    return hostKeyAlgorithms(this.#known.types(nameOf(host)));
  }

  /** Why only OpenSSH can tell whether the host is the one it should be; undefined when this can. */
  async onlyByOpenSsh(host: Host): Promise<string | undefined> {
    const known = this.#known;
    const certified = this.#hasAuthority(host);
    // Whether there is a key as well is worth the look.
    if (certified) for (const name of namesOf(host)) await known.scan(name);
    const types = new Set(namesOf(host).flatMap((name) => [...known.types(name)]));
    if (certified && (types.size === 0 || this.#certified.has(host.key))) return "known through @cert-authority";
    const foreign = types.size > 0 && [...types].every((type) => !canCheck(type));
    return foreign ? `known only by a key of type ${[...types].map(typeName).join(", ")}` : undefined;
  }

  async check(host: Host, wire: Buffer): Promise<void> {
    const key = shownKey(wire);
    await this.refresh();
    const verdict = await this.#verdict(host, key);
    if (verdict === "known") return;
    if (verdict === "unknown" && this.#options.hostKeys === "accept-new") return this.#learn(host, key);
    if (this.#hasAuthority(host)) this.#certified.add(host.key);
    throw refusal(verdict, host, key);
  }

  #use(known: KnownHosts): void {
    if (known !== this.#known) this.#certified = new Set();
    this.#known = known;
  }

  #hasAuthority(host: Host): boolean {
    return namesOf(host).some((name) => this.#known.hasAuthority(name));
  }

  async #verdict(host: Host, key: PublicKey): Promise<Verdict> {
    const known = this.#known;
    const found = verdictFor(known, host, key);
    if (found === "known" || found === "revoked") return found;
    for (const name of namesOf(host)) await known.scan(name);
    return verdictFor(known, host, key);
  }

  /** Believes the key from now on, unless somebody else was quicker with another one. */
  async #learn(host: Host, key: PublicKey): Promise<void> {
    const [file = ""] = this.#options.files;
    await oneAtATime(file, async () => {
      this.#use(await this.#files.fresh());
      const verdict = await this.#verdict(host, key);
      if (verdict === "known") return;
      if (verdict !== "unknown") throw refusal(verdict, host, key);
      // As ssh does it: a login that never used ssh has no folder for it.
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await this.#files.append(`${nameOf(host)} ${key.type} ${key.base64}`, this.#known);
    });
  }
}

/** Where OpenSSH looks with a port and finds nothing, it looks without. */
function verdictFor(known: KnownHosts, host: Host, key: PublicKey): Verdict {
  const [name, plain] = namesOf(host);
  const verdict = known.verdict(name, key);
  if (verdict !== "unknown" || plain === undefined) return verdict;
  const second = known.verdict(plain, key);
  // OpenSSH would take a key that is revoked there for a new one.
  return second === "known" || second === "revoked" ? second : "unknown";
}

function refusal(verdict: Verdict, host: Host, key: PublicKey): FssyncError {
  const name = nameOf(host);
  const shown = `it showed ${describeKey(key)}`;
  if (verdict === "unknown")
    return new FssyncError(
      "HostKeyUnknown",
      `No ${typeName(key.type)} host key is known for ${name} and you have requested strict checking; ${shown}`,
    );
  const fault = verdict === "revoked" ? "was revoked" : "has changed";
  return new FssyncError("HostKeyMismatch", `Host key for ${name} ${fault}; ${shown}`);
}

/** How known_hosts names the host. */
function nameOf({ address, port }: Host): string {
  const name = plainName(address);
  return port === SSH_PORT ? name : `[${name}]:${port}`;
}

function namesOf(host: Host): [string, ...string[]] {
  return host.port === SSH_PORT ? [nameOf(host)] : [nameOf(host), plainName(host.address)];
}

/** In lower case; an IPv6 address in its shortest form, whatever the inventory wrote. */
function plainName(address: string): string {
  return isIPv6(address) ? new SocketAddress({ address, family: "ipv6" }).address : address.toLowerCase();
}

async function oneAtATime(file: string, work: () => Promise<void>): Promise<void> {
  const before = writers.get(file) ?? Promise.resolve();
  const done = before.then(work);
  const settled = done.catch(() => undefined);
  writers.set(file, settled);
  try {
    await done;
  } finally {
    if (writers.get(file) === settled) writers.delete(file);
  }
}
