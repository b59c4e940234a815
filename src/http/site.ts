import type { Logger } from "pino";
import type { Access } from "../ports/access.ts";
import type { Clock } from "../ports/clock.ts";
import type { HttpTelemetry } from "../ports/http-telemetry.ts";
import type { Controller } from "../reconcile/controller.ts";
import type { Operations } from "../reconcile/operations.ts";
import type { RecentEvents } from "../reconcile/recent-events.ts";
import type { Suspender } from "../ports/suspender.ts";
import type { CertificateFiles } from "./certificate-files.ts";
import type { ConnectionCaps } from "./caps.ts";
import { HttpProblem } from "./problem.ts";

/** What the public server shows, and lets people do. It outlives the controllers of a process that leads and follows in turn. */
export interface Site {
  readonly version: string;
  /** Prometheus' text format. */
  readonly metrics: () => Promise<string>;
  readonly telemetry: HttpTelemetry;
  /** Why the process is not ready; null when it is. */
  readonly notReady: () => string | null;
  /** The repos that this process works on; undefined while it is starting, or another one leads. */
  readonly desk: () => SiteDesk | undefined;
  /** Whether it is about to have them: what there is is being read. */
  readonly starting?: () => boolean;
  /** Where the API of another process is that leads, as an URL, while that is known; absent where no other one can. */
  readonly leaderApi?: () => string | undefined;
}

/** What there is to ask while this process leads. */
export interface SiteDesk {
  readonly controller: Controller;
  readonly operations: Operations;
  readonly events: RecentEvents;
  readonly suspender: Suspender;
}

export interface PublicServerOptions {
  readonly site: Site;
  /** Null: nobody is asked who they are; the server is for this machine only then. */
  readonly access: Access | null;
  /** Serves the predecessor's endpoints too; `anonymous` to whoever reaches the address. */
  readonly compat?: { readonly anonymous: boolean };
  /** Whether `/metrics` has an address of its own. */
  readonly metricsElsewhere: boolean;
  /** Serves TLS with it; loaded already. */
  readonly tls?: CertificateFiles;
  readonly clock: Clock;
  readonly log: Logger;
  /** Other caps than usual. */
  readonly caps?: ConnectionCaps;
}

/** Throws 503 while this process is starting, or another one leads. */
export function deskOf(site: Site): SiteDesk {
  const desk = site.desk();
  if (desk) return desk;
  const starting = site.starting?.() === true;
  const why = starting ? "fssync is starting" : "this process does not lead, and nobody that does is known";
  throw new HttpProblem(503, why, { headers: { "retry-after": starting ? "1" : "5" } });
}
