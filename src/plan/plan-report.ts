import type { AppKey } from "../model/app.ts";
import type { Host } from "../model/host.ts";
import type { Digest, Refusal } from "../model/manifest.ts";
import type { Revision } from "../model/revision.ts";
import type { AppPlan, HostPlan } from "./host-plan.ts";
import type { ProblemReport } from "./status-report.ts";

/** The design's JSON of `plan`, with why. */
export interface PlanReport {
  readonly repos: readonly RepoPlanReport[];
}

export interface RepoPlanReport {
  readonly name: string;
  readonly revision: Revision | null;
  /** Only while people have stopped all work on it: nothing of this is done before they let it go on. */
  readonly suspended?: true;
  /** Only while something is wrong with Git or the inventory: it is by the last good answers then. */
  readonly problems?: readonly ProblemReport[];
  readonly hosts: readonly HostPlanReport[];
}

export interface HostPlanReport {
  readonly address: string;
  readonly port: number;
  readonly apps: readonly AppPlanReport[];
}

export interface AppPlanReport {
  readonly app: AppKey;
  readonly base: Digest | null;
  readonly desired: Digest;
  /** Paths as they are below the host's root, `/etc/nginx/nginx.conf`. */
  readonly send: readonly string[];
  readonly delete: readonly string[];
  readonly why: string;
  /** Why a sync would leave the app alone; `send` and `delete` are empty then. */
  readonly held?: HeldReport;
  /** Only while people have stopped work on the app, or on this host: nothing of it is done before they let it go on. */
  readonly suspended?: true;
}

export interface HeldReport extends Refusal {
  /** What the change would send and delete if it were not held, where that is known. */
  readonly send?: readonly string[];
  readonly delete?: readonly string[];
}

export function reportHostPlan(
  { address, port }: Host,
  plan: HostPlan,
  suspended: (app: AppKey) => boolean = () => false,
): HostPlanReport {
  const apps = plan.apps.map((app) => ({
    ...reportAppPlan(app),
    ...(suspended(app.app) ? { suspended: true as const } : {}),
  }));
  return { address, port, apps };
}

function reportAppPlan({ app, base, desired, why, refusal, held, ...change }: AppPlan): AppPlanReport {
  const report = { app, base, desired: desired.digest, ...paths(change), why };
  return refusal ? { ...report, held: { ...refusal, ...(held && paths(held)) } } : report;
}

function paths(change: Pick<AppPlan, "send" | "delete">): Pick<AppPlanReport, "send" | "delete"> {
  return { send: change.send.map(({ path }) => `/${path}`), delete: change.delete.map((path) => `/${path}`) };
}
