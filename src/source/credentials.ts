import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FssyncError } from "../model/errors.ts";
import type { RemoteUrl } from "./remote-url.ts";

export interface CredentialsOptions {
  readonly url: RemoteUrl;
  /** A folder of its own, made with mode 0700. */
  readonly dir: string;
  readonly secret?: (() => Promise<ReadonlyMap<string, string>>) | undefined;
  /** What messages call it. */
  readonly secretName?: string | undefined;
  /** Milliseconds. */
  readonly timeout: number;
}

/**
 * Hands git its credentials without a word of them in an argument or an environment variable: they lie
 * in files that only we can read, and git calls a script for them.
 */
export class Credentials {
  readonly #options: CredentialsOptions;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** Reads the secret anew, so that a rotated one works at once. The variables git needs; throws SecretInvalid. */
  async environment(): Promise<Record<string, string>> {
    const { url, dir, secret } = this.#options;
    if (url.protocol === "file") return {};
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await chmod(dir, 0o700);
    const values = secret && this.#secret(await secret());
    return url.protocol === "ssh" ? this.#ssh(values) : this.#askpass(values);
  }

  #secret(values: ReadonlyMap<string, string>): Secret {
    const { secretName, url } = this.#options;
    const name = secretName === undefined ? "the Secret" : `Secret ${secretName}`;
    return { name: `${name} (git.secretRef)`, values, why: WANTED[url.protocol === "ssh" ? "ssh" : "https"] };
  }

  async #askpass(values: Secret | undefined): Promise<Record<string, string>> {
    const { dir, url } = this.#options;
    if (values !== undefined) {
      await this.#put("username", oneLine(values, "username"));
      await this.#put("password", oneLine(values, "password"));
      await this.#put("host", url.host);
    } else {
      for (const name of ["username", "password", "host"]) await rm(join(dir, name), { force: true });
    }
    await this.#put("askpass", ASKPASS, 0o700);
    return { GIT_ASKPASS: join(dir, "askpass") };
  }

  async #ssh(values: Secret | undefined): Promise<Record<string, string>> {
    const { dir, timeout } = this.#options;
    if (values !== undefined) {
      await this.#put("identity", ended(needed(values, "identity")));
      await this.#put("known_hosts", ended(needed(values, "known_hosts")));
      await this.#put("ssh_config", sshConfig(dir, timeout));
    }
    await this.#put("ssh", values === undefined ? SSH_OF_THE_USER : SSH, 0o700);
    return { GIT_SSH: join(dir, "ssh"), GIT_SSH_VARIANT: "ssh" };
  }

  /** Writes a file only when it says something new: git may be reading it. */
  async #put(name: string, content: string, mode = 0o600): Promise<void> {
    const file = join(this.#options.dir, name);
    const before = await readFile(file, "utf8").catch(() => undefined);
    if (before === content) return;
    await rm(file, { force: true });
    await writeFile(file, content, { mode, flag: "wx" });
  }
}

/**
 * git asks `Username for 'https://host': ` and `Password for 'https://user@host': `. Another host, to
 * which a redirect may have led, gets no answer.
 */
const ASKPASS = `#!/bin/sh
here=\${0%/*}
[ -f "$here/host" ] || exit 1
read -r host <"$here/host" || [ -n "$host" ] || exit 1
case "$1" in
  *"//$host'"*|*"@$host'"*) ;;
  *) exit 1 ;;
esac
case "$1" in
  Username*) exec cat "$here/username" ;;
  Password*) exec cat "$here/password" ;;
esac
exit 1
`;

const SSH = `#!/bin/sh
exec ssh -F "\${0%/*}/ssh_config" "$@"
`;

/** Without a secret the user's own keys, known_hosts and aliases hold; only prompts are ruled out. */
const SSH_OF_THE_USER = `#!/bin/sh
exec ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ForwardAgent=no -o ForwardX11=no \\
  -o ClearAllForwardings=yes -o PermitLocalCommand=no -o RequestTTY=no \\
  -o ServerAliveInterval=15 -o ServerAliveCountMax=3 "$@"
`;

/** `dir` holds identity and known_hosts. */
function sshConfig(dir: string, timeout: number): string {
  return [
    `UserKnownHostsFile ${quoted(join(dir, "known_hosts"))}`,
    "GlobalKnownHostsFile /dev/null",
    `IdentityFile ${quoted(join(dir, "identity"))}`,
    "IdentityAgent none",
    "IdentitiesOnly yes",
    "BatchMode yes",
    "StrictHostKeyChecking yes",
    "UpdateHostKeys no",
    "ForwardAgent no",
    "ForwardX11 no",
    "ClearAllForwardings yes",
    "PermitLocalCommand no",
    "ProxyCommand none",
    "RequestTTY no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    `ConnectTimeout ${Math.max(1, Math.ceil(timeout / 1000))}`,
    "ServerAliveInterval 15",
    "ServerAliveCountMax 3",
    "",
  ].join("\n");
}

/** ssh_config expands `%` in file names. */
function quoted(file: string): string {
  return `"${file.replaceAll("%", "%%").replace(/["\\]/g, "\\$&")}"`;
}

interface Secret {
  /** For messages. */
  readonly name: string;
  readonly values: ReadonlyMap<string, string>;
  readonly why: string;
}

const WANTED = {
  https: "git.url is https, which takes username and password",
  ssh: "git.url is ssh, which takes identity and known_hosts",
} as const;

function needed({ name, values, why }: Secret, key: string): string {
  const value = values.get(key);
  if (!value) throw new FssyncError("SecretInvalid", `${name} has no key \`${key}\`: ${why}`);
  return value;
}

/** Editors end a file with a newline; git reads one line of an answer, so a second one is a mistake. */
function oneLine(secret: Secret, key: string): string {
  const value = needed(secret, key).replace(/\r?\n$/, "");
  // oxlint-disable-next-line no-control-regex
  if (value === "" || /[\u0000\r\n]/.test(value)) {
    throw new FssyncError("SecretInvalid", `${secret.name}: the key \`${key}\` is not one line`);
  }
  return value;
}

/** OpenSSH refuses a key whose last line has no end. */
function ended(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}
