import { ControlClient } from "../../http/control-client.ts";
import { parseAppKey } from "../../model/app.ts";
import type { Context } from "../program.ts";
import { suspendedText } from "../status-table.ts";

/** Exit 0 when the running controller has accepted the request; it does not wait for the hosts. */
export async function resyncCommand(context: Context, [name = ""]: string[]): Promise<number> {
  const { build, stdout, signal } = context;
  const named = parseAppKey(name) ? { apps: [name], hosts: [] } : { apps: [], hosts: [name] };
  const accepted = new AbortController();
  const client = new ControlClient(build.controlSocket(context));
  let hosts: number | undefined;
  let suspended: readonly string[] = [];
  try {
    await client.sync(
      { ...named, full: true, allowPrune: false },
      (event) => {
        if (event.kind !== "start") return;
        ({ hosts, suspended } = event);
        accepted.abort();
      },
      AbortSignal.any([signal, accepted.signal]),
    );
  } catch (error) {
    if (hosts === undefined) throw error;
  }
  if (hosts !== 0 || suspended.length === 0)
    stdout.write(`Accepted: ${hosts} ${hosts === 1 ? "host is" : "hosts are"} synced in full.\n`);
  stdout.write(suspendedText(suspended));
  return 0;
}
