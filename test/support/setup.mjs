/**
 * Makes a checkout ready, then runs a command in it: `node test/support/setup.mjs vitest run`.
 * Plain JavaScript without dependencies, because it runs before there are any; Node 20 is enough.
 * Says one line for each thing it did, nothing when there was nothing to do.
 */
import { runCommand } from "./setup/command.mjs";
import { ensureNodeModules } from "./setup/node-modules.mjs";
import { ensureTools } from "./setup/tools.mjs";

const [command, ...args] = process.argv.slice(2);

try {
  ensureNodeModules();
  // Without a command it is made ready for all that may come, as in CI.
  ensureTools({ forTests: command === undefined || command === "vitest" });
  if (command !== undefined) process.exitCode = await runCommand(command, args);
} catch (error) {
  if (!(error instanceof Error)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
