import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { descendants, hasCommand, killTree, run, signalAll, until } from "./processes.ts";

export interface SshdOptions {
  /** Folder for its configuration, keys and log. */
  readonly dir: string;
  readonly listen: string;
  readonly port: number;
  readonly authorizedKeys: string;
  /** Words before the program, to start it somewhere else (`ip netns exec …`). */
  readonly prefix?: readonly string[];
  readonly forceCommand?: string | undefined;
  /** Lines of its configuration in the place of others on the same matter, but for `HostKey`, of which there can be many. */
  readonly settings?: readonly string[];
}

/** One sshd in the foreground, as a child of this process. */
export class Sshd {
  readonly #options: SshdOptions;
  #forceCommand: string | undefined;
  #child: ChildProcess | undefined;

  constructor(options: SshdOptions) {
    this.#options = options;
    this.#forceCommand = options.forceCommand;
    mkdirSync(options.dir, { recursive: true });
    if (!existsSync(this.#hostKey)) this.newHostKey();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The type and the text of the public host key, as known_hosts has them. */
  get publicKey(): string {
    return readFileSync(`${this.#hostKey}.pub`, "utf8").split(" ", 2).join(" ").trim();
  }

  newHostKey(): void {
    makeKey(this.#hostKey);
  }

  /** What every session runs instead of what was asked for; undefined for nothing special. */
  set forceCommand(command: string | undefined) {
    this.#forceCommand = command;
  }

  async start(): Promise<void> {
    if (this.#child) return;
    const config = join(this.#options.dir, "sshd_config");
    writeFileSync(config, this.#config());
    const log = join(this.#options.dir, "sshd.log");
    const [command, ...args] = [
      ...(this.#options.prefix ?? []),
      ...diesWithUs(),
      "/usr/sbin/sshd",
      "-D",
      "-f",
      config,
      "-E",
      log,
    ];
    const child = spawn(command, args, { stdio: "ignore" });
    child.once("error", () => undefined);
    this.#child = child;
    child.once("exit", () => {
      if (this.#child === child) this.#child = undefined;
    });
    await until(() => this.#listening(log), 10_000, `sshd on ${this.#options.listen}:${this.#options.port}`);
  }

  /** Ends it and all its sessions at once, as a power cut does. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child) await killTree(child);
    this.#child = undefined;
  }

  kill(): void {
    if (this.pid !== undefined) signalAll([...descendants(this.pid), this.pid], "SIGKILL");
  }

  /** Connections are still taken by the kernel, but nobody answers; running sessions stand still. */
  freeze(): void {
    if (this.pid !== undefined) signalAll([this.pid, ...descendants(this.pid)], "SIGSTOP");
  }

  thaw(): void {
    if (this.pid !== undefined) signalAll([...descendants(this.pid), this.pid], "SIGCONT");
  }

  get #hostKey(): string {
    return join(this.#options.dir, "host_key");
  }

  async #listening(log: string): Promise<boolean> {
    if (!this.#child) throw new Error(`sshd ended at once: ${existsSync(log) ? readFileSync(log, "utf8") : "no log"}`);
    if (this.#options.prefix) return inNamespaceListens(this.#options.prefix, this.#options.port);
    return new Promise((resolve) => {
      const socket = connect(this.#options.port, this.#options.listen);
      socket.once("data", () => finish(true)).once("error", () => finish(false));
      function finish(answer: boolean) {
        socket.destroy();
        resolve(answer);
      }
    });
  }

  #config(): string {
    const { listen, port, authorizedKeys, settings = [] } = this.#options;
    const lines = [
      `ListenAddress ${listen}`,
      `Port ${port}`,
      `HostKey ${this.#hostKey}`,
      `AuthorizedKeysFile ${authorizedKeys}`,
      "AuthenticationMethods publickey",
      "PermitRootLogin yes",
      `UsePAM ${isLockedWithoutPam() ? "yes" : "no"}`,
      "StrictModes no",
      "LogLevel ERROR",
      "PidFile none",
      "MaxStartups 2000:30:4000",
      "PrintMotd no",
      "UseDNS no",
      // bash reads .bashrc when sshd starts it, unless it believes to be an inner shell. A developer's
      // .bashrc is slow and not what is tested.
      "SetEnv SHLVL=3",
      // Who asks, for tests that write down what hosts run.
      "AcceptEnv FSSYNC_TEST_*",
    ];
    if (this.#forceCommand !== undefined) lines.push(`ForceCommand ${this.#forceCommand}`);
    const word = (line: string) => line.split(" ", 1)[0];
    const isSet = (line: string) => settings.some((setting) => word(setting) === word(line));
    const others = lines.filter((line) => word(line) === "HostKey" || !isSet(line));
    return `${[...settings, ...others].join("\n")}\n`;
  }
}

export function makeKey(file: string): void {
  run("sh", ["-c", 'rm -f "$1" "$1.pub" && ssh-keygen -q -t ed25519 -N "" -C fleet -f "$1"', "sh", file]);
}

/** sshd's separation folder; only root can make it, and only root's sshd wants it. */
export function ensureRunFolder(): void {
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
}

/** The words that end a program when this process is killed without a chance to clean up. */
function diesWithUs(): string[] {
  return hasCommand("setpriv") ? ["setpriv", "--pdeathsig", "KILL", "--"] : [];
}

/** A password field of `!` locks the account unless PAM decides. Only root can see and meet it. */
function isLockedWithoutPam(): boolean {
  try {
    const name = userInfo().username;
    const line = readFileSync("/etc/shadow", "utf8")
      .split("\n")
      .find((each) => each.startsWith(`${name}:`));
    return line?.split(":")[1]?.startsWith("!") ?? false;
  } catch {
    return false;
  }
}

function inNamespaceListens(prefix: readonly string[], port: number): boolean {
  const [command, ...args] = [...prefix, "ss", "-Hltn", `sport = :${port}`];
  return run(command, args).includes(`:${port}`);
}
