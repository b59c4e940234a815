import type { State } from "./state.ts";

/**
 * Every reason an operator can meet, what it means and what to do next. `state` is what a host shows
 * for it; `retry` says whether trying again without a change elsewhere can help. docs/errors.md is
 * generated from this table.
 */
export const REASONS = {
  // The host was not reached.
  NameResolutionFailed: host(
    "Unreachable",
    "The host's name has no address.",
    "Check the name in the inventory and the DNS of the controller.",
  ),
  ConnectTimeout: host(
    "Unreachable",
    "No answer on the ssh port within ssh.connectTimeout.",
    "Check that the host is up and that no firewall is between.",
  ),
  ConnectRefused: host(
    "Unreachable",
    "Nothing listens on the ssh port.",
    "Start sshd on the host, or correct the port.",
  ),
  NetworkUnreachable: host(
    "Unreachable",
    "There is no route to the host.",
    "Check the routes from the controller to the host.",
  ),
  ConnectionLost: host(
    "Unreachable",
    "The connection ended before the work did.",
    "Nothing to do if the host restarted; else look at sshd's log there.",
  ),
  // The host was reached and it did not work.
  AuthFailed: host(
    "Failed",
    "The host refused the key.",
    "Put the public key into authorized_keys of ssh.user, or correct the Secret's `identity`.",
  ),
  HostKeyMismatch: host(
    "Failed",
    "The host shows another key than known_hosts says.",
    "If the host was rebuilt, replace its line in known_hosts; if not, find out who answers there.",
  ),
  HostKeyUnknown: host(
    "Failed",
    "known_hosts has no key for the host and ssh.hostKeys is strict.",
    "Add the host's key to known_hosts, or set ssh.hostKeys to accept-new.",
  ),
  SyncTimeout: host(
    "Failed",
    "The sync did not end within sync.timeout.",
    "Look at the host's load, disk and network; raise sync.timeout if it is only slow.",
  ),
  PermissionDenied: host("Failed", "The remote user may not write there.", "Use a user that may, or ssh.sudo."),
  SudoDenied: host(
    "Failed",
    "sudo -n refused to run rsync, or the shell that lays batches and compares files.",
    "Allow `NOPASSWD: /usr/bin/rsync, /usr/bin/sh, /bin/sh` for ssh.user in sudoers; without the shell set drift.interval to 0s.",
  ),
  NoSpace: host("Failed", "The host's disk or its inodes are full.", "Free some space on the host."),
  ReadOnly: host(
    "Failed",
    "The file system or the file on the host cannot be changed.",
    "Look for a read-only mount or an immutable attribute (lsattr).",
  ),
  RsyncMissing: host("Failed", "rsync is not installed on the host.", "Install rsync on the host."),
  ProtocolError: host(
    "Failed",
    "The host's answer was not rsync's.",
    "Log in by hand: a login script that prints something (.bashrc) is the usual cause.",
  ),
  PartialTransfer: host(
    "Failed",
    "Some files were not transferred.",
    "The message names the first one; mend it on the host.",
  ),
  TargetIsFolder: host(
    "Failed",
    "A folder with files that are not fssync's stands where a file must go.",
    "Move the folder away on the host, or the file in Git.",
  ),
  InvalidOwner: host(
    "Failed",
    "The owner or group of a file does not exist on the host.",
    "Create it on the host, or correct .gitattributes.",
  ),
  RsyncFailed: host("Failed", "rsync failed for a reason without a name of its own.", "The message is rsync's own."),
  // Held on purpose: nothing is sent until something changes.
  PathConflict: held(
    "Conflict",
    "Two apps claim one path on one host.",
    "Remove the file from one of the apps, or the host from one of them.",
  ),
  PruneLimitExceeded: held(
    "Failed",
    "The change deletes more than sync.maxDeletePercent of the app's files.",
    "If it is meant: `fssync sync --allow-prune <app>` (in Kubernetes: in the leader's pod), or raise sync.maxDeletePercent for a while; if not, restore the files in Git. `fssync plan -v <app>` names them.",
  ),
  UnsupportedFile: held(
    "Failed",
    "The app holds something that is no plain file or symlink (a submodule).",
    "Remove it from the app.",
  ),
  LfsPointer: held("Failed", "A file is a Git LFS pointer, not its content.", "Store the file itself in Git."),
  InvalidAttributes: held(
    "Failed",
    "owner, group or mode in .gitattributes is not valid.",
    "Correct the line in .gitattributes.",
  ),
  InvalidPath: held("Failed", "A path cannot be laid on a host.", "Rename it in Git."),
  // On the controller.
  ControllerNoSpace: local("The controller's own disk is full.", "Free some space under --data-dir."),
  ControllerExhausted: local(
    "The controller has no file handles, processes or memory left.",
    "Raise its limits (ulimit -n, -u), or lower sync.concurrency or ssh.maxConnections.",
  ),
  SourceUnavailable: local(
    "Git was not read yet, or what it holds could not be read from the mirror.",
    "fssync mends its mirror by itself; see the git errors before.",
  ),
  SecretInvalid: local(
    "A Secret or one of its keys is missing or cannot be used.",
    "Make or correct the Secret, or the key, that the message names; without Kubernetes it is a file below --secrets-dir.",
  ),
  Interrupted: local("fssync was told to stop.", "Nothing: it goes on after the restart."),
  Internal: local("A mistake in fssync.", "Report it with the log."),
  // Git.
  FetchFailed: local(
    "The Git remote could not be read.",
    "Check the URL, the credentials and the network; the last good revision stays in force.",
  ),
  BranchMissing: local(
    "The branch is not on the remote.",
    "Restore it, or correct git.branch; the last good revision stays in force.",
  ),
  EmptyTree: local("The commit holds no app at all.", "Restore the tree; the last good revision stays in force."),
  MirrorCorrupt: local("The local mirror is damaged.", "fssync clones it again by itself."),
  PushFailed: local(
    "A commit could not be pushed to the Git remote.",
    "Give the login of git.secretRef the right to push to the branch, or look why the branch refuses it.",
  ),
  NotEditable: local(
    "The path in Git is nothing that can be edited line by line: a symlink, a folder, binary, or larger than 1 MiB.",
    "Change it in a checkout of the repo, and push.",
  ),
  // Inventory.
  InventoryFailed: local(
    "The CMDB could not be read.",
    "Check the URL and the CMDB; the last good answer stays in force.",
  ),
  InventorySuspicious: local(
    "The CMDB's answer lost more hosts than inventory.maxShrinkPercent allows.",
    "If it is meant, raise maxShrinkPercent for a while; the last good answer stays in force.",
  ),
  InvalidHost: local("A host in the inventory is not valid.", "Correct it in the CMDB; its siblings go on."),
  // Start.
  InvalidSpec: local("The configuration is not valid.", "Correct the key that the message names."),
  DataDirInUse: local("Another fssync works on the same data dir.", "End that process, or use another --data-dir."),
  UnknownName: local(
    "There is no app or host of that name.",
    "Correct the name; `fssync status` lists apps and `fssync status -o wide` hosts.",
  ),
  RepoStarting: local(
    "The repo is being started, or started anew because its ConfigRepo was changed.",
    "Ask again in a few seconds; the log says when the repo cannot be taken up.",
  ),
  NoController: local(
    "No controller works on this data dir, or answers at that address.",
    "Start `fssync run`, or name its --data-dir or --server; in Kubernetes it is in the pod that the Lease `fssync-controller` names.",
  ),
  ControllerLost: local(
    "The controller that was asked went away before it answered.",
    "Look at its log; what it had begun it goes on with after a restart.",
  ),
  Unauthorized: local(
    "The controller that was asked does not know who asks, or does not let them do that.",
    "Name a token with --token-file that has the role; docs/api.md says how tokens are made.",
  ),
  TooManyRequests: local(
    "The controller that was asked has too much to do for now, or was asked too often.",
    "Ask again after the time that the message names; look who else asks that much.",
  ),
  SuspendedElsewhere: local(
    "It is suspended in the configuration file, where only people lift it.",
    "Take spec.suspend out of the file and restart fssync.",
  ),
  StoreTooNew: local("The status store was written by a newer fssync.", "Use that fssync, or another --data-dir."),
  StoreCorrupt: local("The status store is damaged.", "It was set aside; every host is synced anew."),
  // Kubernetes.
  KubernetesUnavailable: local(
    "The Kubernetes API server gave no usable answer.",
    "Check that it runs and can be reached; syncs go on and are recorded when it is back.",
  ),
  KubeconfigInvalid: local(
    "No Kubernetes cluster is known, or the kubeconfig cannot be used.",
    "Set KUBECONFIG to a file that works with kubectl; a pod needs a ServiceAccount with automountServiceAccountToken.",
  ),
  KubernetesUnauthorized: local(
    "The API server does not know who fssync is: its token or certificate is not valid.",
    "In a pod: look whether the ServiceAccount still exists, then start the pod again; else log in anew, so that kubectl works with the same KUBECONFIG.",
  ),
  KubernetesForbidden: local(
    "The API server does not let fssync do that.",
    "Add the rule that the message names to the Role of fssync's ServiceAccount; the chart has all of them.",
  ),
  CrdMissing: local(
    "The cluster does not know ConfigRepo, ConfigApp or ConfigHost.",
    "Install the CRDs: `helm upgrade --install`, or `kubectl apply --server-side --field-manager=helm -f charts/fssync/files/crds`.",
  ),
} as const satisfies Record<string, ReasonInfo>;

export type Reason = keyof typeof REASONS;

const BEFORE_THE_FIRST_BYTE: ReadonlySet<Reason> = new Set<Reason>([
  "NameResolutionFailed",
  "ConnectTimeout",
  "ConnectRefused",
  "NetworkUnreachable",
  "AuthFailed",
  "HostKeyMismatch",
  "HostKeyUnknown",
  "RsyncMissing",
]);

/** Whether an attempt that failed for this reason cannot have changed anything on the host. */
export function leftHostUntouched(reason: Reason): boolean {
  return BEFORE_THE_FIRST_BYTE.has(reason);
}

export interface ReasonInfo {
  readonly state: Extract<State, "Failed" | "Unreachable" | "Conflict">;
  readonly retry: boolean;
  readonly meaning: string;
  readonly next: string;
}

/** An error that an operator may see. `message` says what was tried, on what, and why it failed. */
export class FssyncError extends Error {
  readonly reason: Reason;

  constructor(reason: Reason, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "FssyncError";
    this.reason = reason;
  }

  get info(): ReasonInfo {
    return REASONS[this.reason];
  }
}

/** Any thrown value as an error with a reason; what is not ours becomes `fallback`. */
export function asFssyncError(error: unknown, fallback: Reason = "Internal"): FssyncError {
  if (error instanceof FssyncError) return error;
  const code = (error as NodeJS.ErrnoException | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  if (code === "ENOSPC" || code === "EDQUOT") return new FssyncError("ControllerNoSpace", message, { cause: error });
  if (code === "EMFILE" || code === "ENFILE" || code === "EAGAIN" || code === "ENOMEM")
    return new FssyncError("ControllerExhausted", message, { cause: error });
  return new FssyncError(fallback, message, { cause: error });
}

function host(state: "Failed" | "Unreachable", meaning: string, next: string) {
  return { state, retry: true, meaning, next } as const;
}

function held(state: "Failed" | "Conflict", meaning: string, next: string) {
  return { state, retry: false, meaning, next } as const;
}

function local(meaning: string, next: string) {
  return { state: "Failed", retry: true, meaning, next } as const;
}
