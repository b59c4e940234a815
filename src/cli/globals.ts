import { isAbsolute, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { FssyncError } from "../model/errors.ts";
import { LOG_LEVELS, type LogLevel } from "../log/levels.ts";

export const OUTPUTS = ["table", "wide", "json", "yaml"] as const;
export type Output = (typeof OUTPUTS)[number];

/** The options that every command takes. */
export interface Globals {
  readonly file: string;
  readonly dataDir: string;
  readonly secretsDir: string;
  readonly listen: string;
  readonly allowFileUrls: boolean;
  readonly output: Output;
  /** What was asked for; each command has a default of its own. */
  readonly logLevel?: LogLevel;
}

/** Adds the options that every command has. They stand after its name. */
export function withGlobals(command: Command): Command {
  return command
    .addOption(env("-f, --file <path>", "file of ConfigRepo documents", "FILE").default("fssync.yaml").argParser(path))
    .addOption(env("--data-dir <dir>", "where state is kept", "DATA_DIR").default(".fssync").argParser(path))
    .addOption(
      env("--secrets-dir <dir>", "folder of Secrets: <dir>/<name>/<key>", "SECRETS_DIR")
        .default("secrets")
        .argParser(path),
    )
    .addOption(
      env("--listen <address:port>", "where the API, /healthz, /readyz and /metrics are served", "LISTEN").default(
        "127.0.0.1:8080",
      ),
    )
    .addOption(switchable("--allow-file-urls", "allow Git repos on this machine", "ALLOW_FILE_URLS"))
    .addOption(env("-o, --output <format>", "how results are printed", "OUTPUT").choices(OUTPUTS).default("table"))
    .addOption(
      env("--log-level <level>", "how much is logged; info for run, else warn", "LOG_LEVEL").choices(LOG_LEVELS),
    );
}

/** Where ConfigRepos and status are: in files, or in Kubernetes. */
export interface InKubernetes {
  /** ConfigRepos and status are custom resources. */
  readonly kubernetes: boolean;
  /** The one to work in; the kubeconfig's or the pod's own when absent. */
  readonly namespace?: string;
  readonly allNamespaces: boolean;
}

/**
 * What the options of `withKubernetes` mean together. Of what was written on the command line nothing may be
 * without effect; what the environment says, as in the chart's pods, is for whom it fits.
 */
export function inKubernetes(command: Command): InKubernetes {
  const { kubernetes, namespace, allNamespaces } = command.opts<InKubernetes>();
  const written = (name: keyof InKubernetes) => command.getOptionValueSource(name) === "cli";
  for (const [name, flag] of [
    ["namespace", "--namespace"],
    ["allNamespaces", "--all-namespaces"],
  ] as const)
    if (written(name) && !kubernetes) command.error(`error: ${flag} is of use with --kubernetes only`);
  // Who leads is written in one namespace also where all are followed.
  const leads = command.getOptionValueSource("leaderElect") !== undefined;
  if (written("namespace") && written("allNamespaces") && !leads)
    command.error("error: --namespace and --all-namespaces contradict each other");
  const all = allNamespaces && (leads || !written("namespace"));
  return { kubernetes, allNamespaces: all, ...(namespace === undefined ? {} : { namespace }) };
}

export interface LeaderElection {
  /** False when this is the only process that ever works on these hosts. */
  readonly leaderElect: boolean;
}

export function withKubernetes(command: Command): Command {
  return command
    .addOption(switchable("--kubernetes", "ConfigRepos and status are custom resources, not files", "KUBERNETES"))
    .addOption(
      env(
        "--namespace <name>",
        "with --kubernetes: this namespace, not the kubeconfig's or pod's; run --all-namespaces: the Lease's",
        "NAMESPACE",
      ),
    )
    .addOption(switchable("--all-namespaces", "with --kubernetes: every namespace", "ALL_NAMESPACES"));
}

/** For what a controller does that runs: in Kubernetes there is no file that says what to do without one. */
export function withLeader(command: Command): Command {
  return command.addOption(
    switchable("--kubernetes", "ask the leader whose data dir this is; read no file", "KUBERNETES"),
  );
}

/** What is served over the network besides metrics, to whom, and how. */
export interface ServerOptions {
  readonly metricsListen?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Name of the Secret with API tokens. */
  readonly tokensSecret?: string;
  /** Whether callers may show tokens of Kubernetes. */
  readonly kubernetesAuth: boolean;
  readonly compat: boolean;
  readonly compatAnonymous: boolean;
}

export function withServer(command: Command): Command {
  return command
    .addOption(env("--metrics-listen <address:port>", "an address of its own for /metrics", "METRICS_LISTEN"))
    .addOption(
      env("--tls-cert <file>", "serve TLS with this certificate; read again when it changes", "TLS_CERT").argParser(
        path,
      ),
    )
    .addOption(env("--tls-key <file>", "the certificate's private key", "TLS_KEY").argParser(path))
    .addOption(
      env(
        "--tokens-secret <name>",
        "Secret with the tokens that may use the API: keys read, pull, operate",
        "TOKENS_SECRET",
      ),
    )
    .addOption(
      switchable("--kubernetes-auth", "with --kubernetes: the API takes Kubernetes' tokens too", "KUBERNETES_AUTH"),
    )
    .addOption(switchable("--compat", "serve the predecessor's endpoints too", "COMPAT"))
    .addOption(
      switchable(
        "--compat-anonymous",
        "with --compat: to whoever reaches the address, without a token",
        "COMPAT_ANONYMOUS",
      ),
    );
}

export function withLeaderElection(command: Command): Command {
  const description = "with --kubernetes: no Lease, for a process that is alone (env: FSSYNC_LEADER_ELECT=false)";
  return command.addOption(
    new Option("--no-leader-elect", description).default(switchedOn("FSSYNC_LEADER_ELECT", true)),
  );
}

function switchable(flag: string, description: string, name: string): Option {
  return new Option(flag, `${description} (env: FSSYNC_${name})`).default(switchedOn(`FSSYNC_${name}`));
}

function env(flags: string, description: string, name: string): Option {
  return new Option(flags, description).env(`FSSYNC_${name}`);
}

/** Commander takes any value of a flag's variable for yes; people also write `false`. */
function switchedOn(name: string, unset = false): boolean {
  const text = process.env[name] ?? "";
  if (text === "") return unset;
  if (["true", "1", "yes"].includes(text)) return true;
  if (["false", "0", "no"].includes(text)) return false;
  throw new FssyncError("InvalidSpec", `${name}=${text}: expected true or false`);
}

function path(text: string): string {
  if (text === "") throw new InvalidArgumentError("expected a path.");
  return isAbsolute(text) ? text : resolve(text);
}
