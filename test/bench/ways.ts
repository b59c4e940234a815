import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Fleet } from "../support/fleet.ts";
import { Meter } from "./cpu.ts";

/** One figure of one way in one round. */
export interface Measured {
  readonly wall: number;
  /** Milliseconds of CPU on the controller's side, all hosts together. */
  readonly cpu: number;
  /** Bytes. */
  readonly peak: number;
}

/** One way to bring a folder of files to all hosts. */
export interface Way {
  readonly name: string;
  /** Before the first step of a round, not measured. */
  begin?(): Promise<void>;
  /** After its last one. */
  end?(): Promise<void>;
  /** Brings everything to hosts that have nothing, over new connections. */
  first(): Promise<Measured>;
  /** Brings the one file that was changed since. */
  changed(): Promise<Measured>;
  /** Brings all files, each of which was changed since. */
  all(): Promise<Measured>;
  /** Is asked although nothing changed. */
  nothing(): Promise<Measured>;
}

export interface Surroundings {
  readonly fleet: Fleet;
  /** Folder of the bench. */
  readonly dir: string;
  /** The files as a plain folder, as the ways without Git see them. */
  readonly files: string;
  /** Paths of all of them, relative to `files`. */
  readonly paths: readonly string[];
  /** The one that changes. */
  readonly changing: string;
}

/** The predecessor's way: `rsync -a` over plain ssh, 16 at a time. */
export async function plainRsyncWay(around: Surroundings): Promise<Way> {
  const config = await sshConfig(around, "plain", []);
  const command = ["rsync", "-a", "-e", `ssh -F ${config}`, `${around.files}/`];
  const run = () => throughXargs(around, command, join(around.dir, "plain-sockets"));
  return { name: "(a) `rsync -a`, `xargs -P16`", first: run, changed: run, all: run, nothing: run };
}

export const BY_HAND = "(b) best raw rsync by hand";

/** The best rsync that a hand can write: warm masters, cheap key exchange, only the paths that changed. */
export async function handWrittenWay(around: Surroundings): Promise<Way> {
  const sockets = join(around.dir, "m");
  const config = await warmConfig(around, "hand", sockets);
  const one = join(around.dir, "one.list");
  await writeFile(one, `${around.changing}\n`);
  const every = join(around.dir, "all.list");
  await writeFile(every, around.paths.map((path) => `${path}\n`).join(""));
  const options = ["-lptog", "--checksum", "--no-implied-dirs", "-e", `ssh -F ${config}`];
  const all = ["rsync", ...options, "-r", `${around.files}/`];
  const listed = (list: string) => ["rsync", ...options, `--files-from=${list}`, `${around.files}/`];
  return {
    name: BY_HAND,
    first: async () => {
      await endMasters(around, config);
      return await throughXargs(around, all, sockets);
    },
    changed: () => throughXargs(around, listed(one), sockets),
    all: () => throughXargs(around, listed(every), sockets),
    nothing: () => throughXargs(around, listed(one), sockets),
  };
}

/** What tells without fssync which files differ: rsync's dry run with checksums, over warm masters. */
export async function dryRunWay(around: Surroundings): Promise<() => Promise<Measured>> {
  const sockets = join(around.dir, "n");
  const config = await warmConfig(around, "dry-run", sockets);
  const command = ["rsync", "-rlpogtnci", "--no-implied-dirs", "-e", `ssh -F ${config}`, `${around.files}/`];
  const run = () => throughXargs(around, command, sockets, 8);
  await run();
  return run;
}

async function warmConfig(around: Surroundings, name: string, sockets: string): Promise<string> {
  await mkdir(sockets, { recursive: true, mode: 0o700 });
  return sshConfig(around, name, [
    "KexAlgorithms curve25519-sha256",
    "Ciphers aes128-gcm@openssh.com",
    "ControlMaster auto",
    `ControlPath ${sockets}/%C`,
    "ControlPersist 10m",
  ]);
}

/** Ansible's own module for this, with what makes it fast. Undefined where it is not installed or does not work. */
export async function ansibleWay(around: Surroundings): Promise<Way | undefined> {
  if (spawnSync("ansible", ["--version"], { stdio: "ignore" }).status !== 0) return undefined;
  const { fleet, dir, files } = around;
  const inventory = join(dir, "inventory.ini");
  const sockets = join(dir, "a");
  await mkdir(sockets, { recursive: true, mode: 0o700 });
  const config = await sshConfig(around, "ansible", ["KexAlgorithms curve25519-sha256"]);
  await writeFile(inventory, fleet.hosts.map((host) => `${host.address} ansible_port=${host.port}\n`).join(""));
  await writeFile(
    join(dir, "ansible.cfg"),
    `[defaults]
forks=16
host_key_checking=False
interpreter_python=/usr/bin/python3
remote_user=${fleet.user}
[ssh_connection]
pipelining=True
ssh_args=-F ${config} -o ControlMaster=auto -o ControlPersist=10m
control_path_dir=${sockets}
`,
  );
  const root = fleet.hosts[0]!.root;
  const module = [
    "-m",
    "ansible.posix.synchronize",
    "-a",
    `src=${files}/ dest=${root}/ archive=yes use_ssh_args=yes ssh_connection_multiplexing=yes private_key=${fleet.identityFile}`,
  ];
  const command: readonly string[] = [...fleet.prefix, "ansible", "all", "-i", inventory, ...module];
  const env = { ANSIBLE_CONFIG: join(dir, "ansible.cfg"), HOME: dir };
  const probe = spawnSync(command[0]!, [...command.slice(1), "--limit", fleet.hosts[0]!.address], {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  if (probe.status !== 0) {
    process.stderr.write(`ansible is installed and left out, because it fails here: ${probe.stdout}${probe.stderr}\n`);
    return undefined;
  }
  const run = () => measured(command, sockets, env);
  return { name: "(c) ansible synchronize, 16 forks", first: run, changed: run, all: run, nothing: run };
}

async function sshConfig({ fleet, dir }: Surroundings, name: string, lines: readonly string[]): Promise<string> {
  const file = join(dir, `${name}.ssh_config`);
  const knownHosts = join(dir, "known_hosts");
  await writeFile(knownHosts, fleet.knownHosts);
  const common = [
    "Host *",
    `User ${fleet.user}`,
    `IdentityFile ${fleet.identityFile}`,
    "IdentitiesOnly yes",
    `UserKnownHostsFile ${knownHosts}`,
    "BatchMode yes",
    "LogLevel ERROR",
  ];
  await writeFile(file, [...common, ...lines, ""].join("\n"));
  return file;
}

async function endMasters({ fleet }: Surroundings, config: string): Promise<void> {
  const commands = fleet.hosts.map(({ address }) => `ssh -F ${config} -O exit ${address} 2>/dev/null; true`);
  await measured([...fleet.prefix, "sh", "-c", commands.join("\n")], "-");
}

/** Runs the command for each host, so many at a time, with the host as its last word. */
async function throughXargs(
  { fleet }: Surroundings,
  command: readonly string[],
  sockets: string,
  atOnce = 16,
): Promise<Measured> {
  const script = `exec "$@" "$0"`;
  const targets = fleet.hosts.map(({ address, root }) => `${address}:${root}/\0`).join("");
  const ports = new Set(fleet.hosts.map(({ port }) => port));
  if (ports.size > 1) throw new Error("the ways by hand need one port for all hosts: run the bench as root");
  const argv = [...fleet.prefix, "xargs", "-0", `-P${atOnce}`, "-I{}", "sh", "-c", script, "{}", ...command];
  return await measured(argv, sockets, {}, targets);
}

async function measured(
  argv: readonly string[],
  socketDir: string,
  env: Record<string, string> = {},
  stdin = "",
): Promise<Measured> {
  const start = performance.now();
  // A shell that lives on until it was measured: what its children used counts as its own.
  const shell = spawn("bash", ["-c", `"$@"; code=$?; echo "$code" >&3; read -r _ <&4; exit "$code"`, "-", ...argv], {
    env: { ...process.env, ...env },
    stdio: ["pipe", "ignore", "pipe", "pipe", "pipe"],
  });
  let stderr = "";
  shell.stderr!.on("data", (data: Buffer) => (stderr += data.toString()));
  using meter = new Meter(shell.pid!, socketDir);
  shell.stdin!.end(stdin);
  const [code] = (await once(shell.stdio[3]!, "data")) as [Buffer];
  const wall = performance.now() - start;
  const used = meter.read();
  (shell.stdio[4] as NodeJS.WritableStream).end("\n");
  await once(shell, "exit");
  if (code.toString().trim() !== "0")
    throw new Error(`${argv.slice(0, 8).join(" ")} … failed: ${stderr.slice(0, 500)}`);
  return { wall, ...used };
}
