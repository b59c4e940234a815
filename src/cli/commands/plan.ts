import { atDesk } from "../desk.ts";
import { planText } from "../plan-text.ts";
import { print } from "../print.ts";
import type { InKubernetes } from "../globals.ts";
import type { Context } from "../program.ts";

interface Options extends Pick<InKubernetes, "kubernetes"> {
  readonly host?: string[];
  readonly verbose: boolean;
  readonly detailedExitcode: boolean;
}

/** Exit: 0; with --detailed-exitcode 0 nothing to do, 2 something; 1 error. */
export async function planCommand(context: Context, apps: string[], options: Options): Promise<number> {
  const { stdout, signal } = context;
  const report = await atDesk(context, options, (desk) => desk.plan({ apps, hosts: options.host ?? [] }, signal));
  const terminal = stdout.isTTY === true;
  print(stdout, context.output, report, (wide) => planText(report, { terminal, verbose: options.verbose || wide }));
  const something = report.repos.some(({ hosts }) => hosts.length > 0);
  return options.detailedExitcode && something ? 2 : 0;
}
