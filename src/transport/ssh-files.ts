import { execFile } from "node:child_process";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { FssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";
import { isEncrypted } from "./builtin/identity.ts";
import {
  CERTIFICATE_FILE,
  CONFIG_FILE,
  IDENTITY_FILE,
  KNOWN_HOSTS_FILE,
  sshConfig,
  type SshConfig,
} from "./ssh-config.ts";

const REREAD_INTERVAL = 10_000;

interface SshFilesOptions {
  readonly dir: string;
  /** Keys `identity`, `known_hosts`, `passphrase`, `identity-cert.pub`; without it ssh uses the user's own keys. */
  readonly secret: (() => Promise<ReadonlyMap<string, string>>) | undefined;
  /** What messages call it. */
  readonly secretName?: string | undefined;
  readonly hostKeys: SshConfig["hostKeys"];
  readonly connectTimeout: number;
  readonly clock: Clock;
}

/** ssh's configuration, key and known hosts as files, kept equal to the secret. */
export class SshFiles {
  readonly #options: SshFilesOptions;
  #freshUntil = -Infinity;
  #running: Promise<number> | undefined;
  #generation = 0;
  #secret: ReadonlyMap<string, string> | undefined;

  constructor(options: SshFilesOptions) {
    this.#options = options;
  }

  /**
   * Looks at the secret again, at most every ten seconds. Another number than before when a file changed: connections
   * that stand were made with what was there then. Throws SecretInvalid.
   */
  async refresh(): Promise<number> {
    if (this.#options.clock.monotonic() < this.#freshUntil) return this.#generation;
    this.#running ??= this.#write().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** What the last look found; undefined when ssh uses the user's own keys. */
  get secret(): ReadonlyMap<string, string> | undefined {
    return this.#secret;
  }

  /** What messages call it. */
  get secretName(): string {
    const { secretName } = this.#options;
    return secretName === undefined ? "the Secret (ssh.secretRef)" : `Secret ${secretName} (ssh.secretRef)`;
  }

  /**
   * Throws SecretInvalid when ssh would ask for a passphrase. `why` says what makes OpenSSH reach the host that is meant,
   * where not all are left to it.
   */
  checkForOpenSsh(why?: string): void {
    if (!isEncrypted(this.#secret?.get("identity") ?? "")) return;
    const closed = `\`identity\` of ${this.secretName} has a passphrase`;
    if (why === undefined) throw new FssyncError("SecretInvalid", `${closed}, which only ssh.client: builtin can use`);
    const remedy = "give it one without, or the host's key in known_hosts";
    throw new FssyncError("SecretInvalid", `${closed}, which OpenSSH cannot use, and ${why}: ${remedy}`);
  }

  /** The next look is a real one: what there is may be why a host was refused. */
  expire(): void {
    this.#freshUntil = -Infinity;
  }

  async #write(): Promise<number> {
    const { secret, hostKeys, connectTimeout, clock } = this.#options;
    const files = new Map<string, string | undefined>();
    const values = await secret?.();
    if (values) for (const [name, text] of keyFiles(this.secretName, values, hostKeys)) files.set(name, text);
    const config = sshConfig({ ownKeys: secret !== undefined, hostKeys, connectTimeout, kex: await knownKex() });
    files.set(CONFIG_FILE, config);
    let changed = false;
    for (const [name, text] of files) changed = (await this.#replace(name, text)) || changed;
    changed ||= values?.get("passphrase") !== this.#secret?.get("passphrase");
    this.#secret = values;
    if (changed) this.#generation++;
    this.#freshUntil = clock.monotonic() + REREAD_INTERVAL;
    return this.#generation;
  }

  /** Whole or not at all: a running ssh may open the file at any moment. */
  async #replace(name: string, text: string | undefined): Promise<boolean> {
    const file = join(this.#options.dir, name);
    const before = await readFile(file, "utf8").catch(() => undefined);
    if (before === text) return false;
    if (text === undefined) {
      await rm(file, { force: true });
      return true;
    }
    await writeFile(`${file}.new`, text, { mode: 0o600 });
    await rename(`${file}.new`, file);
    return true;
  }
}

function keyFiles(
  name: string,
  secret: ReadonlyMap<string, string>,
  hostKeys: SshConfig["hostKeys"],
): [string, string | undefined][] {
  const identity = secret.get("identity");
  const knownHosts = secret.get("known_hosts");
  const certificate = secret.get("identity-cert.pub");
  if (!identity?.trim())
    throw new FssyncError("SecretInvalid", `${name} has no key \`identity\`: the private key that logs in on hosts`);
  if (!knownHosts?.trim() && hostKeys === "strict") {
    throw new FssyncError("SecretInvalid", `${name} has no key \`known_hosts\`, and ssh.hostKeys is strict`);
  }
  return [
    [IDENTITY_FILE, withLineEnds(identity)],
    [CERTIFICATE_FILE, certificate?.trim() ? withLineEnds(certificate) : undefined],
    [KNOWN_HOSTS_FILE, withLineEnds(knownHosts ?? "")],
  ];
}

/** ssh refuses a key whose last line has no end, which is what pasting leaves behind. */
function withLineEnds(text: string): string {
  return `${text.replaceAll("\r\n", "\n").trimEnd()}\n`;
}

let kex: Promise<ReadonlySet<string>> | undefined;

/** Key exchanges of the ssh in PATH; a name it does not know would make it refuse its configuration. */
function knownKex(): Promise<ReadonlySet<string>> {
  kex ??= promisify(execFile)("ssh", ["-Q", "kex"]).then(
    ({ stdout }) => new Set(stdout.split("\n")),
    () => new Set<string>(),
  );
  return kex;
}
