/** What of the configuration decides how ssh connects. */
export interface SshConfig {
  /** True: identity and known_hosts come from the secret, as files beside this configuration. */
  readonly ownKeys: boolean;
  readonly hostKeys: "strict" | "accept-new";
  /** Milliseconds. */
  readonly connectTimeout: number;
  /** Key exchanges that this ssh knows. */
  readonly kex: ReadonlySet<string>;
}

/** Names beside the configuration; ssh runs in that folder, so that no path needs quoting. */
export const CONFIG_FILE = "ssh_config";
export const IDENTITY_FILE = "identity";
/** Beside the identity, where ssh looks for it by itself. */
export const CERTIFICATE_FILE = "identity-cert.pub";
export const KNOWN_HOSTS_FILE = "known_hosts";
/** Keys that accept-new learned: apart, because the secret's file is written anew when it changes. */
export const LEARNED_HOSTS_FILE = "learned_hosts";

/** An idle connection without a controller (it was killed) ends by itself after this. */
const PERSIST = "1h";
const CHEAP_KEX = ["mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org"];

/**
 * The only configuration ssh reads. Nothing here asks a question, forwards anything, runs a local
 * command or leads through a proxy; the user's and the system's configuration are not read (-F).
 */
export function sshConfig({ ownKeys, hostKeys, connectTimeout, kex }: SshConfig): string {
  // The default of OpenSSH 9, sntrup761, costs some 75 ms of CPU a connection. The others stay
  // behind the cheap ones for hosts that know nothing better.
  const preferred = CHEAP_KEX.filter((name) => kex.has(name));
  const lines = [
    "Host *",
    "BatchMode yes",
    "LogLevel ERROR",
    `StrictHostKeyChecking ${hostKeys === "strict" ? "yes" : "accept-new"}`,
    "GlobalKnownHostsFile /dev/null",
    "UpdateHostKeys no",
    "CheckHostIP no",
    "HashKnownHosts no",
    "ForwardAgent no",
    "ForwardX11 no",
    "ClearAllForwardings yes",
    "PermitLocalCommand no",
    "ProxyCommand none",
    "RequestTTY no",
    "EscapeChar none",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "PreferredAuthentications publickey",
    `ConnectTimeout ${Math.max(1, Math.ceil(connectTimeout / 1000))}`,
    "ConnectionAttempts 1",
    "ServerAliveInterval 15",
    "ServerAliveCountMax 3",
    "Ciphers ^aes128-gcm@openssh.com",
    ...(preferred.length > 0 ? [`KexAlgorithms ^${preferred.join(",")}`] : []),
    "ControlMaster auto",
    `ControlPersist ${PERSIST}`,
    ...(ownKeys ? ownKeyLines(hostKeys) : []),
  ];
  return `${lines.join("\n")}\n`;
}

function ownKeyLines(hostKeys: "strict" | "accept-new"): string[] {
  const files = hostKeys === "strict" ? KNOWN_HOSTS_FILE : `${LEARNED_HOSTS_FILE} ${KNOWN_HOSTS_FILE}`;
  return ["IdentitiesOnly yes", "IdentityAgent none", `IdentityFile ${IDENTITY_FILE}`, `UserKnownHostsFile ${files}`];
}
