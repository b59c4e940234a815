/**
 * Builds ssh2's optional binding, which encrypts for less CPU than JavaScript, for the Node that runs this:
 * `npm run build:crypto`. Needs make, g++ and python3, and no network. Without it fssync does the same work in JavaScript.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const folder = join(dirname(require.resolve("ssh2/package.json")), "lib/protocol/crypto");
const nodeGyp = process.env["npm_config_node_gyp"];
const headers = [packaged(), join(dirname(process.execPath), "..")].find(
  (prefix) => prefix !== undefined && existsSync(join(prefix, "include/node/node_api.h")),
);

if (nodeGyp === undefined) throw new Error("node-gyp comes with npm: run this as `npm run build:crypto`");
if (headers === undefined) throw new Error(`the headers of Node ${process.version} are not installed: run \`npm ci\``);
// Without it code for OpenSSL 1.1 is built, which cannot do chacha20-poly1305.
const openssl = `--real_openssl_major=${process.versions.openssl.split(".")[0]}`;
// What npm is set to by its user comes before arguments.
const env = { ...process.env, npm_config_nodedir: headers };
const { status } = spawnSync(process.execPath, [nodeGyp, "rebuild", openssl], { cwd: folder, env, stdio: "inherit" });
if (status !== 0) throw new Error("node-gyp could not build it: it needs make, g++ and python3");
require(join(folder, "build/Release/sshcrypto.node"));
await rm(join(folder, "build/Release/obj.target"), { recursive: true });

/** Where the npm package `node` has this machine's Node from. */
function packaged(): string | undefined {
  try {
    const node = createRequire(require.resolve("node/package.json"));
    return dirname(node.resolve(`node-${process.platform}-${process.arch}/package.json`));
  } catch {
    return undefined;
  }
}
