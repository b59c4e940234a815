import { atDesk } from "../desk.ts";
import { print } from "../print.ts";
import type { InKubernetes } from "../globals.ts";
import type { Context } from "../program.ts";
import { showProgress } from "../progress.ts";
import { statusTable } from "../status-table.ts";

interface Options extends Pick<InKubernetes, "kubernetes"> {
  readonly host?: string[];
  readonly diff: boolean;
}

/** Compares files on hosts with Git, changes nothing. Exit: 0 equal, 2 drift, 1 error, 4 some unreachable, 6 both. */
export async function verifyCommand(context: Context, apps: string[], options: Options): Promise<number> {
  const { stdout, stderr, signal } = context;
  const request = { apps, hosts: options.host ?? [], contents: options.diff };
  const result = await atDesk(context, options, async (desk) => {
    using progress = showProgress(stderr, "verified");
    return await desk.verify(request, progress.on, signal);
  });
  print(stdout, context.output, result.report, (wide) =>
    statusTable(result.report, { terminal: stdout.isTTY === true, columns: stdout.columns, wide }),
  );
  return 0;
}
