import { type Command, Option } from "commander";

/** The controller that is asked over HTTP, and how; none: the store, or the control socket. */
export interface ApiOptions {
  readonly server?: string | undefined;
  readonly tokenFile?: string;
  readonly caFile?: string;
}

/** For commands that can ask a controller on another machine. */
export function withApi(command: Command): Command {
  return command
    .addOption(
      new Option("--server <url>", "ask the controller there over HTTP, with its API, and nothing of this machine").env(
        "FSSYNC_SERVER",
      ),
    )
    .addOption(
      new Option("--token-file <file>", "file with the token for --server; else the variable FSSYNC_TOKEN").env(
        "FSSYNC_TOKEN_FILE",
      ),
    )
    .addOption(
      new Option("--ca-file <file>", "file with the certificates that --server's is signed by (PEM)").env(
        "FSSYNC_CA_FILE",
      ),
    );
}

/** What says where else to look than at `--server`. */
const ELSEWHERE = [
  ["kubernetes", "--kubernetes"],
  ["namespace", "--namespace"],
  ["allNamespaces", "--all-namespaces"],
  ["dataDir", "--data-dir"],
  ["file", "--file"],
] as const;

/**
 * What the options of `withApi` mean together with the others. Of what was written on the command line nothing may be
 * without effect; a server that only the environment names gives way to it.
 */
export function apiOptions(command: Command): ApiOptions {
  const { server = "", tokenFile, caFile } = command.opts<ApiOptions>();
  const written = (name: string) => command.getOptionValueSource(name) === "cli";
  const elsewhere = ELSEWHERE.find(([name]) => written(name));
  if (written("server") && elsewhere) command.error(`error: --server and ${elsewhere[1]} contradict each other`);
  if (server !== "" && !elsewhere) return { server, ...(tokenFile && { tokenFile }), ...(caFile && { caFile }) };
  for (const [name, flag] of [
    ["tokenFile", "--token-file"],
    ["caFile", "--ca-file"],
  ] as const)
    if (written(name)) command.error(`error: ${flag} is of use with --server only`);
  return { server: undefined };
}
