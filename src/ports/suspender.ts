import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";

/** A whole repo, one app of it everywhere, or one host with all its apps of the repo. */
export interface SuspendTarget {
  readonly repo: string;
  readonly app?: AppKey;
  readonly host?: HostKey;
}

export interface SuspendRequest {
  /** False lets the work go on. */
  readonly suspend: boolean;
  /** Who asks. */
  readonly by: string;
  /** Why, in the words of whoever asks; empty when they said nothing. */
  readonly reason: string;
}

/** Stops work on something, or lets it go on; it stays so across restarts. */
export interface Suspender {
  /** Resolves when it is stored and in effect. Throws SuspendedElsewhere where only the configuration file can lift it. */
  set(target: SuspendTarget, request: SuspendRequest, signal: AbortSignal): Promise<void>;
  /** What people have stopped with it; `by`, `reason` and `since` where that is known. */
  list(): Promise<readonly SuspendedTarget[]>;
}

/** `by alice: release freeze`; empty where neither is known. */
export function whoAndWhy({ by = "", reason = "" }: SuspendedTarget): string {
  if (by === "") return reason;
  return `by ${by}${reason === "" ? "" : `: ${reason}`}`;
}

/** The same for the state that an app has for it: `app suspended by alice: release freeze`. */
export function suspendedMessage(target: SuspendedTarget): string | undefined {
  const said = whoAndWhy(target);
  if (said === "") return undefined;
  const what = target.host !== undefined ? "host" : target.app === undefined ? "repo" : "app";
  return `${what} suspended${target.by ? ` ${said}` : `: ${said}`}`;
}

/** What people have suspended, where no custom resource says it. Goes with the repo when that is removed. */
export interface SuspensionStore {
  suspensions(repo: string): Promise<readonly SuspendedTarget[]>;
  /** Resolves when it is durable. */
  putSuspension(suspended: SuspendedTarget): Promise<void>;
  /** The same; what was not suspended is no error. */
  dropSuspension(target: SuspendTarget): Promise<void>;
}

export interface SuspendedTarget extends SuspendTarget {
  readonly by?: string;
  readonly reason?: string;
  /** Milliseconds since the epoch. */
  readonly since?: number;
}
