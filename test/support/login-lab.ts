import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostKey, type Host } from "../../src/model/host.ts";
import { namespaceUnavailable } from "./fleet.ts";
import { freePort } from "./fleet/ports.ts";
import { descendants, onProcessEnd, signalAll } from "./fleet/processes.ts";
import { ensureRunFolder, makeKey, Sshd } from "./fleet/sshd.ts";

/** As in the documentation. */
const LOGIN = "fssync";
/** Nobody's on this machine. */
const UID = 61_234;

export interface LoginOptions {
  /** The login's shell; `/bin/sh` unless given. */
  readonly shell?: string;
  /** All that sudo knows, but for root's own line. The host's root is root's then, else the login's. */
  readonly sudoers?: string | ((dir: string) => string);
  /** What the host calls itself; as this machine unless given. */
  readonly hostname?: string;
  /** In front of the key in `authorized_keys`: `command="…"`. */
  readonly keyOptions?: string;
}

/** A host with a login that is not root, in files of accounts of its own. */
export interface LoginHost extends AsyncDisposable {
  readonly host: Host;
  /** Its root. */
  readonly root: string;
  /** Keys `identity` and `known_hosts`. */
  readonly secret: ReadonlyMap<string, string>;
  readonly dir: string;
  /** Cuts the sessions; new ones are welcome. */
  cut(): void;
}

/** Why there can be no such host here; undefined when there can. */
export function loginUnavailable(): string | undefined {
  return namespaceUnavailable();
}

/** An sshd that sees accounts and sudoers of its own: nothing of this machine is changed. */
export async function startLogin(options: LoginOptions = {}): Promise<LoginHost> {
  ensureRunFolder();
  const dir = mkdtempSync(join(tmpdir(), "login-"));
  // The login reads its keys, and goes through.
  chmodSync(dir, 0o755);
  const identity = join(dir, "identity");
  makeKey(identity);
  const home = join(dir, "home");
  const root = join(dir, "root");
  for (const folder of [home, root]) mkdirSync(folder);
  chownSync(home, UID, UID);
  if (options.sudoers === undefined) chownSync(root, UID, UID);
  const authorizedKeys = join(dir, "authorized_keys");
  const key = readFileSync(`${identity}.pub`, "utf8");
  writeFileSync(authorizedKeys, options.keyOptions === undefined ? key : `${options.keyOptions} ${key}`);
  const port = await freePort();
  const prefix = ["unshare", "-mu", "sh", accountsScript(dir, home, options)];
  const sshd = new Sshd({ dir: join(dir, "sshd"), listen: "127.0.0.1", port, authorizedKeys, prefix });
  const cleanup = onProcessEnd(() => {
    sshd.kill();
    rmSync(dir, { recursive: true, force: true });
  });
  await sshd.start();
  const address = "127.0.0.1";
  return {
    host: { key: hostKey(address, port), address, port, user: LOGIN, root },
    root,
    dir,
    secret: new Map([
      ["identity", readFileSync(identity, "utf8")],
      ["known_hosts", `[${address}]:${port} ${sshd.publicKey}\n`],
    ]),
    cut: () => signalAll(sshd.pid === undefined ? [] : sessionsOf(sshd.pid), "SIGKILL"),
    async [Symbol.asyncDispose]() {
      await sshd.stop();
      cleanup[Symbol.dispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Runs its arguments where the files of accounts are copies with one more login. */
function accountsScript(
  dir: string,
  home: string,
  { shell = "/bin/sh", sudoers = "", hostname }: LoginOptions,
): string {
  const etc = join(dir, "etc");
  mkdirSync(join(etc, "sudoers.d"), { recursive: true });
  const add = (name: string, line: string) => {
    copyFileSync(join("/etc", name), join(etc, name));
    writeFileSync(join(etc, name), `${line}\n`, { flag: "a" });
  };
  add("passwd", `${LOGIN}:x:${UID}:${UID}::${home}:${shell}`);
  add("group", `${LOGIN}:x:${UID}:`);
  add("shadow", `${LOGIN}:*:20000:0:99999:7:::`);
  writeFileSync(
    join(etc, "sudoers"),
    `root ALL=(ALL:ALL) ALL\n${typeof sudoers === "string" ? sudoers : sudoers(dir)}\n`,
    { mode: 0o440 },
  );
  const script = join(dir, "accounts.sh");
  const mounts = ["passwd", "group", "shadow", "sudoers", "sudoers.d"].map(
    (name) => `[ ! -e /etc/${name} ] || mount --bind ${etc}/${name} /etc/${name} || exit`,
  );
  writeFileSync(script, [...mounts, ...(hostname ? [`hostname ${hostname}`] : []), 'exec "$@"', ""].join("\n"));
  return script;
}

/** sshd's own processes: what they started is left to end by itself, as after a cut. */
function sessionsOf(sshd: number): number[] {
  return descendants(sshd).filter((pid) => commandOf(pid).startsWith("sshd"));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8");
  } catch {
    return "";
  }
}
