import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { hostKey, type Host } from "../../src/model/host.ts";
import { freePort } from "./fleet/ports.ts";
import { onProcessEnd } from "./fleet/processes.ts";
import { ensureRunFolder, makeKey, Sshd } from "./fleet/sshd.ts";

const ADDRESS = "127.0.0.1";

export interface KeyedHostOptions {
  /** Types of host keys besides Ed25519, as `ssh-keygen -t` names them. */
  readonly types?: readonly string[];
  /** Lines of sshd's configuration before all others. */
  readonly settings?: readonly string[];
}

/** A host with several keys of its own, and a folder for keys that log in there. */
export interface KeyedHost extends AsyncDisposable {
  readonly dir: string;
  readonly host: Host;
  /** Its keys as known_hosts has them, Ed25519 first: type and base64. */
  readonly keys: readonly string[];
  /** File of the private key that it takes. */
  readonly identityFile: string;
}

export async function startKeyedHost({ types = [], settings = [] }: KeyedHostOptions = {}): Promise<KeyedHost> {
  ensureRunFolder();
  const dir = mkdtempSync(join(tmpdir(), "keyed-"));
  const identityFile = join(dir, "identity");
  makeKey(identityFile);
  const others = types.map((type) => generateKey(dir, `host_${type}`, ["-t", type]));
  const port = await freePort();
  const sshd = new Sshd({
    dir: join(dir, "sshd"),
    listen: ADDRESS,
    port,
    authorizedKeys: join(dir, "authorized_keys"),
    settings: [...others.map((file) => `HostKey ${file}`), ...settings],
  });
  execFileSync("cp", [`${identityFile}.pub`, join(dir, "authorized_keys")]);
  const cleanup = onProcessEnd(() => {
    sshd.kill();
    rmSync(dir, { recursive: true, force: true });
  });
  await sshd.start();
  return {
    dir,
    host: { key: hostKey(ADDRESS, port), address: ADDRESS, port, user: userInfo().username, root: dir },
    keys: [sshd.publicKey, ...others.map(publicKey)],
    identityFile,
    async [Symbol.asyncDispose]() {
      await sshd.stop();
      cleanup[Symbol.dispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The file of a new private key; its public one lies beside it. */
export function generateKey(dir: string, name: string, options: readonly string[], passphrase = ""): string {
  const file = join(dir, name);
  execFileSync("ssh-keygen", ["-q", ...options, "-N", passphrase, "-C", name, "-f", file], { stdio: "ignore" });
  return file;
}

/** Type and base64 of the public key beside a private one. */
export function publicKey(file: string): string {
  return readFileSync(`${file}.pub`, "utf8").split(" ", 2).join(" ").trim();
}
