import { ApiResyncs } from "../../http/client/resyncs.ts";
import { ControlClient } from "../../http/control-client.ts";
import { parseAppKey } from "../../model/app.ts";
import type { LeftAlone } from "../../reconcile/left-alone.ts";
import type { ApiOptions } from "../api-options.ts";
import { apiClient } from "../api.ts";
import type { Context } from "../program.ts";
import { leftAloneText } from "../left-alone-text.ts";

/** What a controller has taken on. */
interface Accepted {
  readonly hosts: number;
  /** What of it people have suspended. */
  readonly leftAlone: readonly LeftAlone[];
}

/** Exit 0 when the running controller has accepted the request; it does not wait for the hosts. */
export async function resyncCommand(context: Context, [name = ""]: string[], options: ApiOptions): Promise<number> {
  const { stdout } = context;
  const { server } = options;
  const { hosts, leftAlone } =
    server === undefined ? await askBySocket(context, name) : await askByApi(context, name, server, options);
  if (hosts !== 0 || leftAlone.length === 0)
    stdout.write(`Accepted: ${hosts} ${hosts === 1 ? "host is" : "hosts are"} synced in full.\n`);
  stdout.write(leftAloneText(leftAlone));
  return 0;
}

async function askByApi({ signal }: Context, name: string, server: string, options: ApiOptions): Promise<Accepted> {
  await using client = await apiClient(server, options);
  return await new ApiResyncs(client).ask(parseAppKey(name) ?? { hosts: [name] }, signal);
}

async function askBySocket(context: Context, name: string): Promise<Accepted> {
  const { build, signal } = context;
  const named = parseAppKey(name) ? { apps: [name], hosts: [] } : { apps: [], hosts: [name] };
  const seen = new AbortController();
  const client = new ControlClient(build.controlSocket(context));
  let accepted: Accepted | undefined;
  try {
    await client.sync(
      { ...named, full: true, allowPrune: false },
      (event) => {
        if (event.kind !== "start") return;
        accepted = event;
        seen.abort();
      },
      AbortSignal.any([signal, seen.signal]),
    );
  } catch (error) {
    if (accepted === undefined) throw error;
  }
  return accepted!;
}
