import { atDesk } from "../desk.ts";
import { print } from "../print.ts";
import type { InKubernetes } from "../globals.ts";
import type { Context } from "../program.ts";
import { showProgress } from "../progress.ts";
import { problemLines } from "../status-table.ts";
import { withDiffs } from "../verify-diffs.ts";
import { verifyExitCode } from "../verify-exit-code.ts";
import { verifyText } from "../verify-text.ts";

interface Options extends Pick<InKubernetes, "kubernetes"> {
  readonly host?: string[];
  readonly diff: boolean;
}

/** Compares files on hosts with Git, changes nothing. Exit: 0 equal, 2 drift, 1 error, 4 some unreachable, 6 both. */
export async function verifyCommand(context: Context, apps: string[], options: Options): Promise<number> {
  const { stdout, stderr, signal, output } = context;
  const request = { apps, hosts: options.host ?? [], contents: options.diff };
  const result = await atDesk(context, options, async (desk) => {
    using progress = showProgress(stderr, "verified");
    return await desk.verify(request, progress.on, signal);
  });
  const report = withDiffs(result.report, options.diff ? result.contents : null);
  print(stdout, output, report, (wide) => {
    const terminal = stdout.isTTY === true;
    return verifyText({ ...result, report }, { terminal, columns: stdout.columns, wide, diff: options.diff });
  });
  if (output === "json" || output === "yaml") stderr.write(problemLines(result.problems));
  return verifyExitCode(result);
}
