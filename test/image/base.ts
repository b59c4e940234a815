import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";

const NODE_MODULES = resolve(import.meta.dirname, "../../node_modules");

/**
 * What an official image node:<version>-<suite>-slim holds, as far as fssync's Dockerfile goes: a small Debian
 * with node and npm below /usr/local. Debian comes by debootstrap from where this machine gets it, node from the
 * npm package, npm from this machine.
 */
export function makeBase(image: string, folder: string): void {
  const [, version, suite] = /^node:([\d.]+)-([a-z]+)-slim$/.exec(image) ?? [];
  if (version === undefined || suite === undefined) throw new Error(`cannot make the base ${image}`);
  must("debootstrap", ["--variant=minbase", suite, folder, debianMirror()]);
  cpSync("/etc/apt", join(folder, "etc/apt"), { recursive: true, force: true });
  cpSync("/usr/share/keyrings", join(folder, "usr/share/keyrings"), { recursive: true });

  const local = join(folder, "usr/local");
  copyFileSync(join(NODE_MODULES, "node/bin/node"), join(local, "bin/node"));
  chmodSync(join(local, "bin/node"), 0o755);
  mkdirSync(join(local, "lib/node_modules"), { recursive: true });
  cpSync(npmFolder(), join(local, "lib/node_modules/npm"), { recursive: true, dereference: true });
  for (const name of ["npm", "npx"])
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(local, "bin", name));
  const found = must(join(local, "bin/node"), ["--version"]).trim();
  if (found !== `v${version}`) throw new Error(`the base has node ${version}, node_modules has ${found}`);
}

function debianMirror(): string {
  const lists = [
    "/etc/apt/sources.list",
    ...readdirSync("/etc/apt/sources.list.d").map((name) => `/etc/apt/sources.list.d/${name}`),
  ];
  const text = lists
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, "utf8"))
    .join("\n");
  const [, mirror] = /^(?:URIs:|deb(?: \[[^\]]*\])?)\s+(\S+)/m.exec(text) ?? [];
  if (mirror === undefined) throw new Error("no Debian mirror in /etc/apt");
  return mirror;
}

function npmFolder(): string {
  const npm = must("sh", ["-c", 'readlink -f "$(command -v npm)"']).trim();
  return dirname(dirname(npm));
}

/** Runs a program to its end; throws with the end of its output. */
export function must(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", env, maxBuffer: 2 ** 27 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ended with ${status}:\n${`${stdout}${stderr}`.slice(-4000)}`);
  return stdout;
}
