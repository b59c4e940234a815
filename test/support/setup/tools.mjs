import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { say, since } from "./say.mjs";

const OLDEST_RSYNC = [3, 1];

/** What the tests and the demo run, and the package that brings it. */
const TOOLS = [
  { command: "git", apt: "git", dnf: "git", apk: "git" },
  { command: "ssh", apt: "openssh-client", dnf: "openssh-clients", apk: "openssh-client" },
  { command: "ssh-keygen", apt: "openssh-client", dnf: "openssh", apk: "openssh-keygen" },
  { command: "sshd", apt: "openssh-server", dnf: "openssh-server", apk: "openssh-server" },
  { command: "rsync", apt: "rsync", dnf: "rsync", apk: "rsync", usable: isNewRsync },
  { command: "curl", apt: "curl", dnf: "curl", apk: "curl" },
  { command: "openssl", apt: "openssl", dnf: "openssl", apk: "openssl" },
];

/** Network namespaces carry hundreds of hosts; only root can have them, and the tests go on without. */
const ROOT_TOOLS = [
  { command: "ip", apt: "iproute2", dnf: "iproute", apk: "iproute2" },
  { command: "ss", apt: "iproute2", dnf: "iproute", apk: "iproute2" },
  { command: "nft", apt: "nftables", dnf: "nftables", apk: "nftables" },
];

/**
 * For tests of alerts, of sudo and of the shells of hosts, which are skipped with a line that says so where these
 * are missing. Some are large, and under other names or not there in other distributions: only root on Debian and
 * Ubuntu gets them.
 */
const TEST_TOOLS = [
  { command: "busybox", apt: "busybox" },
  { command: "sudo", apt: "sudo" },
  { command: "tcsh", apt: "tcsh" },
  { command: "fish", apt: "fish" },
  { command: "zsh", apt: "zsh" },
  { command: "mksh", apt: "mksh" },
  { command: "promtool", apt: "prometheus" },
  { command: "prometheus", apt: "prometheus" },
  { command: "amtool", apt: "prometheus-alertmanager" },
  { command: "prometheus-alertmanager", apt: "prometheus-alertmanager" },
];

const MANAGERS = [
  { name: "apt", program: "apt-get", update: ["update", "-q"], install: ["install", "-qy", "--no-install-recommends"] },
  { name: "dnf", program: "dnf", install: ["install", "-qy"] },
  { name: "apk", program: "apk", install: ["add", "--no-cache", "--quiet"] },
];

/**
 * Installs the programs that are missing, as far as this user may; throws with the command to run where not.
 * `forTests`: also what nothing but tests needs.
 */
export function ensureTools({ forTests = false } = {}) {
  const isRoot = process.getuid?.() === 0;
  const wanted = isRoot && process.platform === "linux" ? [...TOOLS, ...ROOT_TOOLS] : TOOLS;
  const missing = wanted.filter(isMissing);
  const manager = MANAGERS.find(({ program }) => find(program));
  if (forTests && isRoot && manager?.name === "apt") {
    const ofTests = TEST_TOOLS.filter(isMissing);
    if (ofTests.length > 0) withoutServices(() => install(manager, packagesOf(ofTests, manager), []));
  }
  if (missing.length === 0) return;
  const needed = missing.filter((tool) => TOOLS.includes(tool));
  const names = missing.map(({ command }) => command).join(", ");
  const mayInstall = isRoot || spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status === 0;
  if (manager && mayInstall) install(manager, packagesOf(missing, manager), isRoot ? [] : ["sudo", "-n"]);
  const still = needed.filter(isMissing);
  if (still.length === 0) return;
  throw new Error(
    `${names} must be installed (rsync ${OLDEST_RSYNC.join(".")} or newer). Run:\n  ${advice(still, manager)}`,
  );
}

/** @typedef {{ command: string, apt: string, dnf?: string, apk?: string, usable?: (path: string) => boolean }} Tool */
/** @typedef {typeof MANAGERS[number]} Manager */

function install(/** @type {Manager} */ manager, /** @type {string[]} */ packages, /** @type {string[]} */ sudo) {
  const start = performance.now();
  say(`installing ${packages.join(", ")} …`);
  const steps = [manager.update, [...manager.install, ...packages]].filter((step) => step !== undefined);
  for (const step of steps) {
    // env: sudo passes no environment on. A test machine needs the program sshd, not the service.
    const quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"];
    const [command, ...args] = [...sudo, ...quiet, manager.program, ...step];
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
    // An update may fail for one source of many; the install that follows tells whether it matters.
    if (status !== 0) process.stderr.write(`${stdout ?? ""}${stderr ?? ""}`);
  }
  say(`installed ${packages.join(", ")} in ${since(start)}`);
}

/** systemd, unlike sysvinit, does not ask for the runlevel: Debian's own switch keeps the daemons from being started. */
function withoutServices(/** @type {() => void} */ run) {
  const policy = "/usr/sbin/policy-rc.d";
  if (existsSync(policy)) return run();
  writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    run();
  } finally {
    rmSync(policy);
  }
}

function packagesOf(/** @type {Tool[]} */ tools, /** @type {Manager} */ { name }) {
  const packages = tools.map((tool) => tool[/** @type {"apt" | "dnf" | "apk"} */ (name)]);
  return [...new Set(packages.filter((name) => name !== undefined))];
}

function advice(/** @type {Tool[]} */ tools, /** @type {Manager | undefined} */ manager) {
  if (!manager) return `your package manager, for: ${tools.map(({ command }) => command).join(" ")}`;
  const { program, update, install: words } = manager;
  const sudo = process.getuid?.() === 0 ? "" : "sudo ";
  const first = update ? `${sudo}${program} ${update[0]} && ` : "";
  return `${first}${sudo}${program} ${words[0]} ${packagesOf(tools, manager).join(" ")}`;
}

function isMissing(/** @type {Tool} */ { command, usable = () => true }) {
  const path = find(command);
  return path === undefined || !usable(path);
}

/** Daemons and network tools lie where an ordinary user's PATH does not look. */
function find(/** @type {string} */ command) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, command)).find((path) => existsSync(path));
}

function isNewRsync(/** @type {string} */ path) {
  const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
  const [major = 0, minor = 0] = (/version v?(\d+)\.(\d+)/.exec(stdout ?? "") ?? []).slice(1).map(Number);
  return major > OLDEST_RSYNC[0] || (major === OLDEST_RSYNC[0] && minor >= OLDEST_RSYNC[1]);
}
