import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe } from "vitest";
import { hasCommand } from "../../support/fleet/processes.ts";

const run = promisify(execFile);
const available = ["promtool", "amtool"].every(hasCommand);

/** `describe` of tests that need Prometheus' own tools. */
export const describePromtool = describe.skipIf(!available);

if (!available) {
  process.stderr.write(
    "skipped: tests of alerts; install the Debian packages prometheus and prometheus-alertmanager\n",
  );
}

/** What promtool says; throws with all of it when it is not content. */
export async function promtool(args: readonly string[]): Promise<string> {
  return await told("promtool", args);
}

export async function amtool(args: readonly string[]): Promise<string> {
  return await told("amtool", args);
}

async function told(command: string, args: readonly string[]): Promise<string> {
  try {
    return (await run(command, args)).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${stdout}${stderr}`, { cause: error });
  }
}
