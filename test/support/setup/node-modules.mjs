import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { say, since } from "./say.mjs";

const top = resolve(import.meta.dirname, "../../..");
const bin = join(top, "node_modules", ".bin");
const OLDEST_NODE = 24;

/** Installs what package-lock.json says unless it is there, and makes sure that its Node runs. */
export function ensureNodeModules() {
  if (!installed()) install();
  const problem = nodeProblem();
  if (problem === undefined) return;
  // An install script that was not allowed to run leaves the package without its program.
  npm(["rebuild", "node", "--foreground-scripts"]);
  const still = nodeProblem();
  if (still === undefined) return say("installed Node by its install script");
  throw new Error(
    `node_modules/.bin/node ${still}.\n` +
      "It comes with the devDependency `node`, by its install script. Try:\n" +
      "  npm config delete ignore-scripts && rm -rf node_modules && npm ci && node_modules/.bin/node --version\n" +
      `or put Node ${OLDEST_NODE} or newer there: ln -sf /path/to/node node_modules/.bin/node`,
  );
}

/** PATH with this checkout's programs first, and its Node. */
export function pathWithBin() {
  return [bin, ...otherPaths()].join(delimiter);
}

/**
 * npm writes what it installed to node_modules/.package-lock.json when it is done: that, not a time,
 * tells whether it is what package-lock.json asks for.
 */
function installed() {
  const hidden = join(top, "node_modules", ".package-lock.json");
  if (!existsSync(hidden)) return false;
  const have = packages(hidden);
  const want = packages(join(top, "package-lock.json"));
  const asLocked = Object.entries(have).every(([path, entry]) => same(entry, want[path]));
  return asLocked && Object.entries(want).every(([path, entry]) => path === "" || path in have || mayBeAbsent(entry));
}

/** @returns {Record<string, Record<string, unknown>>} path → what is locked there */
function packages(/** @type {string} */ file) {
  return JSON.parse(readFileSync(file, "utf8")).packages ?? {};
}

function same(/** @type {Record<string, unknown>} */ have, /** @type {Record<string, unknown> | undefined} */ want) {
  return isDeepStrictEqual([have.version, have.integrity], [want?.version, want?.integrity]);
}

/** Optional packages are for other machines. */
function mayBeAbsent(/** @type {Record<string, unknown>} */ { optional, devOptional }) {
  return optional === true || devOptional === true;
}

function install() {
  const start = performance.now();
  say("installing node_modules (npm ci) …");
  const { status, stdout, stderr } = npm(["ci", "--include=dev", "--no-audit", "--no-fund"]);
  if (status !== 0) {
    process.stderr.write(`${stdout}${stderr}`);
    throw new Error(`npm ci ended with ${status}; see above`);
  }
  say(`installed node_modules in ${since(start)}`);
}

/** npm with the machine's Node: the checkout's own is about to be replaced. */
function npm(/** @type {string[]} */ args) {
  const env = { ...process.env, PATH: otherPaths().join(delimiter) };
  return spawnSync("npm", args, { cwd: top, env, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
}

function otherPaths() {
  return (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== bin);
}

/** @returns {string | undefined} what is wrong with node_modules/.bin/node */
function nodeProblem() {
  const node = join(bin, "node");
  if (!existsSync(node)) return "is missing";
  const { status, stdout, error } = spawnSync(node, ["--version"], { encoding: "utf8" });
  if (error) return `does not start: ${error.message}`;
  if (status !== 0) return `ends with ${status}`;
  const major = Number(/^v(\d+)\./.exec(stdout)?.[1]);
  return major >= OLDEST_NODE ? undefined : `is ${stdout.trim()}, and ${OLDEST_NODE} or newer is needed`;
}
