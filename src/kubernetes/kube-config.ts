import { accessSync, constants, readFileSync } from "node:fs";
import type { AgentOptions } from "node:https";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { KubeConfig, type Cluster, type DispatcherOptions } from "@kubernetes/client-node";
import { Agent, ProxyAgent, type buildConnector, type Dispatcher } from "undici";
import { FssyncError } from "../model/errors.ts";

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const CONNECT_TIMEOUT = 5_000;
/** The API server closes an idle connection later than this, so that no request meets a closing one. */
const KEEP_ALIVE = 30_000;
type ConnectOptions = Extract<DispatcherOptions, { type: "agent" }>["connect"];

/** Requests at a time; what is more waits. Watches have connections of their own. */
const CONNECTIONS = 16;
/** A page of 500 of our largest objects is half of it. */
const LARGEST_ANSWER = 128 * 1024 * 1024;

interface Dispatchers {
  readonly madeFor: unknown;
  readonly requests: Dispatcher;
  readonly watches: Dispatcher;
}

/**
 * A KubeConfig whose connections last. client-node makes a new Agent, so a new TLS handshake, for every
 * request; here all requests share one pool and all watches another, which are made anew only when the
 * cluster or the TLS material (files that may rotate) changes. A watch holds its connection for minutes
 * and there may be many: in a pool of their own they cannot starve the requests.
 */
export class SharedKubeConfig extends KubeConfig implements AsyncDisposable {
  #dispatchers: Dispatchers | undefined;
  #closed = false;

  /** Called for each request with the TLS material as it is now; client-node makes no dispatcher of its own for `none`. */
  override createDispatcherOptions(cluster: Cluster | null, agentOptions: AgentOptions): DispatcherOptions {
    const options = super.createDispatcherOptions(cluster, agentOptions);
    const madeFor = { options, server: cluster?.server };
    if (!this.#closed && !isDeepStrictEqual(madeFor, this.#dispatchers?.madeFor)) {
      const before = this.#dispatchers;
      this.#dispatchers = {
        madeFor,
        requests: dispatcher(options, { connections: CONNECTIONS, maxResponseSize: LARGEST_ANSWER }),
        watches: dispatcher(options, { connections: null }),
      };
      // What is under way ends by itself; a watch does at its server-side time-out.
      void before?.requests.close().catch(() => {});
      void before?.watches.close().catch(() => {});
    }
    return { type: "none" };
  }

  /** The pools for what `applySecurityAuthentication` was last called for. */
  get dispatchers(): Dispatchers {
    if (!this.#dispatchers) throw new FssyncError("Interrupted", "the client of the API server is closed");
    return this.#dispatchers;
  }

  /** Ends every connection; requests under way fail. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const last = this.#dispatchers;
    this.#dispatchers = undefined;
    await Promise.all([last?.requests.destroy(), last?.watches.destroy()]);
  }
}

function dispatcher(options: DispatcherOptions, own: Agent.Options): Dispatcher {
  const common = {
    ...own,
    keepAliveTimeout: KEEP_ALIVE,
    // Over HTTP/2 everything would share one connection and its flow control.
    allowH2: false,
  };
  switch (options.type) {
    case "socks":
      throw new FssyncError(
        "InvalidSpec",
        `the kubeconfig's proxy-url ${options.uri}: SOCKS proxies are not supported`,
      );
    case "proxy":
      return new ProxyAgent({ ...common, uri: options.uri, requestTls: connecting(options.requestTls) });
    case "agent":
      return new Agent({ ...common, connect: connecting(options.connect) });
    case "none":
      return new Agent({
        ...common,
        connect: connecting({}),
      });
  }
}

/** A host that vanished is noticed by TCP's own probes, besides by the time limits. */
function connecting(tls: ConnectOptions): buildConnector.BuildOptions {
  const options = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE, ...tls, timeout: CONNECT_TIMEOUT };
  // The two packages' types differ in undefined only.
  return options as buildConnector.BuildOptions;
}

/** The environment that decides where the cluster is. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly serviceAccount: string;
}

/**
 * $KUBECONFIG if set, else the pod's ServiceAccount (whose token is read again every minute), else
 * ~/.kube/config. Throws `KubeconfigInvalid` that says what was tried.
 */
export function loadKubeConfig(from: Partial<Surroundings> = {}): SharedKubeConfig {
  const { env = process.env, home = homedir(), serviceAccount = SERVICE_ACCOUNT } = from;
  const config = new SharedKubeConfig();
  const own = join(home, ".kube", "config");
  if (env["KUBECONFIG"]) {
    loadFiles(config, env["KUBECONFIG"].split(delimiter).filter(Boolean));
  } else if (env["KUBERNETES_SERVICE_HOST"] && isReadable(join(serviceAccount, "token"))) {
    config.loadFromCluster(serviceAccount === SERVICE_ACCOUNT ? "" : serviceAccount.slice(0, -SERVICE_ACCOUNT.length));
  } else if (isReadable(own)) {
    loadFiles(config, [own]);
  } else {
    throw new FssyncError(
      "KubeconfigInvalid",
      `no Kubernetes cluster is known: KUBECONFIG is not set, ${serviceAccount}/token is not there (not in a pod, ` +
        `or automountServiceAccountToken is off) and neither is ${own}; set KUBECONFIG`,
    );
  }
  trimTokens(config);
  if (config.getCurrentCluster() !== null) return config;
  throw new FssyncError(
    "KubeconfigInvalid",
    `the kubeconfig has no usable current-context (${config.getCurrentContext() ?? "none"}); set one: kubectl config use-context`,
  );
}

function loadFiles(config: SharedKubeConfig, files: readonly string[]): void {
  for (const [index, file] of files.entries()) {
    try {
      if (index === 0) {
        config.loadFromFile(file);
        continue;
      }
      const more = new KubeConfig();
      more.loadFromFile(file);
      config.mergeConfig(more, true);
    } catch (error) {
      const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
      throw new FssyncError("KubeconfigInvalid", `the kubeconfig ${file} cannot be used: ${why}`, { cause: error });
    }
  }
}

/** A token that was pasted or read from a file often ends with a newline, which no header may have. */
function trimTokens({ users }: KubeConfig): void {
  for (const user of users as { token?: string }[]) if (user.token) user.token = user.token.trim();
}

/** The namespace of the context; in a pod the ServiceAccount's. */
export function namespaceOf(config: KubeConfig): string {
  const context = config.getContextObject(config.getCurrentContext());
  return context?.namespace?.trim() || "default";
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return readFileSync(file).length > 0;
  } catch {
    return false;
  }
}
