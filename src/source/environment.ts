import type { Protocol } from "./remote-url.ts";

/** What git may know of the process that starts it: enough to find programs, proxies, certificates and keys. */
const INHERITED = [
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "TMPDIR",
  "SSH_AUTH_SOCK",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "http_proxy",
  "https_proxy",
  "HTTPS_PROXY",
  "all_proxy",
  "ALL_PROXY",
  "no_proxy",
  "NO_PROXY",
];

/**
 * The environment of every git process. No configuration of the machine or the user takes part, only
 * the wanted protocols work, and nothing waits for a terminal.
 */
export function gitEnvironment(options: {
  readonly gitDir: string;
  readonly protocols: readonly Protocol[];
  readonly ambient: NodeJS.ProcessEnv;
}): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = options.ambient[name];
    if (value !== undefined) environment[name] = value;
  }
  return {
    ...environment,
    LC_ALL: "C",
    // Named outright, so that git neither searches for a repo nor asks who owns it.
    GIT_DIR: options.gitDir,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ALLOW_PROTOCOL: options.protocols.join(":"),
    GIT_NO_REPLACE_OBJECTS: "1",
    // Paths are what people ask for: in none of them is `:(top)` or `*` more than a name.
    GIT_LITERAL_PATHSPECS: "1",
  };
}

/** Settings of every git process; `timeout` in milliseconds. */
export function gitConfig(timeout: number): string[] {
  return [
    "protocol.ext.allow=never",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "fetch.fsckObjects=true",
    "submodule.recurse=false",
    // The user's own attributes must not own files on hosts.
    "core.attributesFile=/dev/null",
    // Names that only Windows dislikes are good names on the hosts.
    "core.protectNTFS=false",
    "gc.autoDetach=false",
    "init.defaultBranch=main",
    // A server that drips is as good as one that is silent.
    "http.lowSpeedLimit=100",
    `http.lowSpeedTime=${Math.max(1, Math.ceil(timeout / 1000))}`,
  ];
}
