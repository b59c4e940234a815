import type { AppKey } from "../model/app.ts";
import type { Host } from "../model/host.ts";
import type { Digest, Refusal } from "../model/manifest.ts";
import type { Revision } from "../model/revision.ts";
import type { HostPlan } from "./host-plan.ts";

/** The design's JSON of `plan`, with why. */
export interface PlanReport {
  readonly repos: readonly RepoPlanReport[];
}

export interface RepoPlanReport {
  readonly name: string;
  readonly revision: Revision | null;
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
  readonly held?: Refusal;
}

export function reportHostPlan({ address, port }: Host, plan: HostPlan): HostPlanReport {
  const apps = plan.apps.map(({ app, base, desired, send, delete: gone, why, refusal }) => ({
    app,
    base,
    desired: desired.digest,
    send: send.map(({ path }) => `/${path}`),
    delete: gone.map((path) => `/${path}`),
    why,
    ...(refusal ? { held: refusal } : {}),
  }));
  return { address, port, apps };
}
