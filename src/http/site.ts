import type { Controller } from "../reconcile/controller.ts";
import type { Operations } from "../reconcile/operations.ts";
import type { RecentEvents } from "../reconcile/recent-events.ts";
import type { Suspender } from "../ports/suspender.ts";

/** What the public server shows, and lets people do. It outlives the controllers of a process that leads and follows in turn. */
export interface Site {
  readonly version: string;
  /** Prometheus' text format. */
  readonly metrics: () => Promise<string>;
  /** Why the process is not ready; null when it is. */
  readonly notReady: () => string | null;
  /** The repos that this process works on; undefined while another one leads. */
  readonly desk: () => SiteDesk | undefined;
}

/** What there is to ask while this process leads. */
export interface SiteDesk {
  readonly controller: Controller;
  readonly operations: Operations;
  readonly events: RecentEvents;
  readonly suspender: Suspender;
}
