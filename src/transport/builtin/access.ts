import { userInfo } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { asFssyncError } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import type { Clock } from "../../ports/clock.ts";
import { KEYS_MAY_BE_OLD } from "../ssh-errors.ts";
import { KNOWN_HOSTS_FILE, LEARNED_HOSTS_FILE } from "../ssh-config.ts";
import type { SshFiles } from "../ssh-files.ts";
import { FileHostKeys } from "./host-keys-file.ts";
import { foreignType, parseIdentity } from "./identity.ts";
import { attemptLogin, type Attempt, type Login } from "./login.ts";
import { userKeys } from "./user-keys.ts";

/** Milliseconds after which keys are looked at again. */
const REREAD_INTERVAL = 10_000;

/** Keys of a secret that decide how to log in. */
const LOGIN_KEYS = ["identity", "passphrase", "identity-cert.pub"];

export interface AccessOptions {
  readonly files: SshFiles;
  /** The folder that `files` writes to. */
  readonly dir: string;
  readonly hostKeys: "strict" | "accept-new";
  /** The user's home; that of this process's account unless given, as OpenSSH has it whatever `$HOME` says. */
  readonly home?: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Keys extends Login {
  readonly onlyByOpenSsh?: string | undefined;
}

/** How this process is let in by hosts: which keys of theirs it believes, and which of its own it shows. */
export class Access {
  readonly #options: AccessOptions;
  readonly #own: FileHostKeys;
  #users: FileHostKeys | undefined;
  /** Reasons that the log has had. */
  readonly #told = new Set<string>();
  #keys: Keys = { identities: [], unusable: [] };
  /** The secret at the last look. */
  #seen: ReadonlyMap<string, string> | undefined;
  #parsed: Promise<Keys> | undefined;
  #parsedOf: ReadonlyMap<string, string> | undefined;
  #logins = 0;
  #freshUntil = -Infinity;
  #running: Promise<void> | undefined;

  constructor(options: AccessOptions) {
    const { dir, hostKeys } = options;
    this.#options = options;
    const own = hostKeys === "strict" ? [KNOWN_HOSTS_FILE] : [LEARNED_HOSTS_FILE, KNOWN_HOSTS_FILE];
    this.#own = new FileHostKeys({ files: own.map((name) => join(dir, name)), hostKeys });
  }

  /** Call it after `files.refresh()`. Throws SecretInvalid, HostKeyUnknown for a file that cannot be read. */
  async refresh(): Promise<void> {
    const { files, clock } = this.#options;
    if (files.secret === this.#seen && clock.monotonic() < this.#freshUntil) return;
    this.#running ??= this.#read().finally(() => (this.#running = undefined));
    await this.#running;
  }

  get hostKeys(): FileHostKeys {
    if (this.#options.files.secret) return this.#own;
    this.#users ??= new FileHostKeys({
      files: ["known_hosts", "known_hosts2"].map((name) => join(this.#home, ".ssh", name)),
      hostKeys: this.#options.hostKeys,
    });
    return this.#users;
  }

  /** Asked for without a Secret only: an account that is a mere number has none. */
  get #home(): string {
    return this.#options.home ?? userInfo().homedir;
  }

  /** Another number than before when the Secret has another key to log in with. */
  get logins(): number {
    return this.#logins;
  }

  login(host: Host): Attempt {
    return attemptLogin(this.#keys, host);
  }

  /** Why only OpenSSH can be let in there, if so; the log says it once. Call it after `refresh`. */
  async onlyByOpenSsh(host: Host): Promise<string | undefined> {
    const login = this.#keys.onlyByOpenSsh;
    const why = login ?? (await this.hostKeys.onlyByOpenSsh(host));
    if (why === undefined) return undefined;
    if (!this.#told.has(why)) {
      this.#told.add(why);
      const facts = { why, ...(login === undefined && { host: host.key }) };
      this.#options.log.info(facts, "only OpenSSH can reach some hosts: they are reached by it");
    }
    return why;
  }

  /**
   * As `open`, which connects with `hostKeys` and `login`; once more where the first key that the host showed made us look
   * for the types of its keys among hashed names.
   */
  async opened<T>(host: Host, open: () => Promise<T>): Promise<T> {
    const order = () => this.hostKeys.algorithms(host).join();
    const before = order();
    try {
      return await open();
    } catch (thrown) {
      const { reason } = asFssyncError(thrown);
      if (KEYS_MAY_BE_OLD.has(reason)) this.#expire();
      if (reason === "HostKeyMismatch" || reason === "HostKeyUnknown") {
        if (order() !== before) return await open();
      }
      throw thrown;
    }
  }

  async #read(): Promise<void> {
    const { files, clock } = this.#options;
    await this.hostKeys.refresh();
    if (files.secret) await this.#readSecret(files.secret, files.secretName);
    else this.#keys = await userKeys({ home: this.#home, agentSocket: process.env.SSH_AUTH_SOCK, clock });
    this.#seen = files.secret;
    this.#freshUntil = clock.monotonic() + REREAD_INTERVAL;
  }

  /** A secret that cannot be used is not tried again before it has changed: a passphrase takes a second. */
  async #readSecret(secret: ReadonlyMap<string, string>, name: string): Promise<void> {
    const isSame = LOGIN_KEYS.every((key) => this.#parsedOf?.get(key) === secret.get(key));
    if (this.#parsedOf && !isSame) this.#logins++;
    if (!this.#parsed || !isSame) this.#parsed = secretKeys(secret, name);
    this.#parsedOf = secret;
    try {
      this.#keys = await this.#parsed;
    } catch (error) {
      if (asFssyncError(error).reason !== "SecretInvalid") this.#parsed = undefined;
      throw error;
    }
  }

  /** The next look at all keys is a real one: what there is may be why a host was refused. */
  #expire(): void {
    this.#freshUntil = -Infinity;
    this.#options.files.expire();
  }
}

async function secretKeys(secret: ReadonlyMap<string, string>, name: string): Promise<Keys> {
  const [text = "", passphrase, certificate] = LOGIN_KEYS.map((key) => secret.get(key));
  const none = { identities: [], unusable: [] };
  if (certificate?.trim()) return { ...none, onlyByOpenSsh: "the login is by certificate" };
  const type = foreignType(text);
  if (type) return { ...none, onlyByOpenSsh: `the identity is of type ${type}` };
  return { ...none, identities: [await parseIdentity({ text, passphrase, name: `\`identity\` of ${name}` })] };
}
