import { spawn } from "node:child_process";
import { constants } from "node:os";
import { pathWithBin } from "./node-modules.mjs";

/** Runs a command to its end with this checkout's programs first in PATH; returns its exit code. */
export async function runCommand(/** @type {string} */ command, /** @type {string[]} */ args) {
  const child = spawn(command, args, { stdio: "inherit", env: { ...process.env, PATH: pathWithBin() } });
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(signal, () => {
      // Ctrl-C goes to everything in the terminal's foreground: the command has it already.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  const [code, signal] = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (...how) => resolve(how));
  });
  return signal === null ? code : 128 + constants.signals[signal];
}
