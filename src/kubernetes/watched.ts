import { appKey, type AppId, type AppKey } from "../model/app.ts";
import { hostKey, type HostKey } from "../model/host.ts";
import type { SuspendedTarget } from "../ports/suspender.ts";
import { summaryOf, type AppSummary } from "./app-status.ts";
import { REQUESTED_AT, type RepoRef, type Resource } from "./objects.ts";
import { repoSummaryOf, type RepoSummary } from "./repo-status.ts";
import { specApp } from "./store/text.ts";

/** Who suspended an object over HTTP, why, and when; what kubectl suspends says nothing of that. */
export const SUSPENDED_BY = "fssync.dev/suspended-by";
export const SUSPEND_REASON = "fssync.dev/suspend-reason";
export const SUSPENDED_AT = "fssync.dev/suspended-at";

// What the controller keeps in memory of each custom resource that it watches: what people say there, and what
// it has to go on from.

interface Asked {
  readonly name: string;
  readonly uid: string;
  readonly generation: number | undefined;
  readonly resourceVersion: string | undefined;
  /** The annotation `fssync.dev/requestedAt`, and the last value of it that was handled. */
  readonly requestedAt: string | undefined;
  readonly handled: string | undefined;
  readonly suspend: boolean;
  /** Only while it is suspended, and as far as it is said. */
  readonly suspended?: Pick<SuspendedTarget, "by" | "reason" | "since">;
  /** It is on its way out: a finalizer of somebody holds it. */
  readonly deleting: boolean;
}

export type Watched = Asked;

export interface WatchedRepo extends Asked {
  readonly ref: RepoRef;
  readonly spec: unknown;
  /** What it said before this process. */
  readonly status: RepoSummary;
}

export interface WatchedApp extends Asked {
  /** `namespace/name` of its ConfigRepo. */
  readonly repo: string;
  readonly app: AppKey;
  /** What it said before this process. */
  readonly status: AppSummary;
}

export interface WatchedHost extends Asked {
  readonly repo: string;
  readonly host: HostKey;
}

export function watchedRepo(object: Resource): WatchedRepo {
  const asked = askedOf(object);
  const namespace = object.metadata?.namespace ?? "";
  const status = repoSummaryOf(fields(object.status));
  return { ...asked, ref: { namespace, name: asked.name, uid: asked.uid }, spec: object.spec, status };
}

/** Only what is of use later is kept: `attempts` is the store's. */
export function watchedApp(object: Resource): WatchedApp {
  const { mod = "", env = "", app = "" } = fields(object.spec) as Partial<AppId>;
  const status = summaryOf(fields(object.status));
  return { ...askedOf(object), repo: repoOf(object), app: appOf({ mod, env, app }), status };
}

export function watchedHost(object: Resource): WatchedHost {
  const { address = "", port = 22 } = fields(object.spec) as { address?: string; port?: number };
  return { ...askedOf(object), repo: repoOf(object), host: hostKey(address, port) };
}

/** Whether people ask for something else than before; what the controller itself writes comes back too, and is not that. */
export function asksOtherwise(now: Asked | undefined, before: Asked | undefined): boolean {
  return now?.requestedAt !== before?.requestedAt || (now?.suspend ?? false) !== (before?.suspend ?? false);
}

/** Whether it is another specification, or another object of the same name. */
export function isAnother(now: Asked | undefined, before: Asked | undefined): boolean {
  return now?.uid !== before?.uid || now?.generation !== before?.generation || now?.deleting !== before?.deleting;
}

function askedOf({ metadata = {}, spec, status }: Resource): Asked {
  return {
    name: metadata.name ?? "",
    uid: metadata.uid ?? "",
    generation: metadata.generation,
    resourceVersion: metadata.resourceVersion,
    requestedAt: metadata.annotations?.[REQUESTED_AT],
    handled: (fields(status) as { lastHandledReconcileAt?: string }).lastHandledReconcileAt,
    deleting: metadata.deletionTimestamp !== undefined,
    ...suspensionOf(spec, metadata.annotations ?? {}),
  };
}

function suspensionOf(
  spec: unknown,
  annotations: Readonly<Record<string, string>>,
): Pick<Asked, "suspend" | "suspended"> {
  if ((fields(spec) as { suspend?: boolean }).suspend !== true) return { suspend: false };
  const { [SUSPENDED_BY]: by, [SUSPEND_REASON]: reason, [SUSPENDED_AT]: at = "" } = annotations;
  const since = Date.parse(at);
  const said = { ...(by && { by }), ...(reason && { reason }), ...(Number.isNaN(since) ? {} : { since }) };
  return { suspend: true, suspended: said };
}

/** People can make a ConfigApp too, with whatever they like. */
function appOf(spec: AppId): AppKey {
  try {
    return specApp(spec);
  } catch {
    return appKey(spec);
  }
}

/** By the spec: a label has no place for a long name. */
function repoOf({ metadata = {}, spec }: Resource): string {
  const { repoRef } = fields(spec) as { repoRef?: { name?: string } };
  return `${metadata.namespace}/${repoRef?.name}`;
}

function fields(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}
