import type { Condition } from "../config/resources.ts";
import { isoTime } from "./time.ts";

/** What is found of one aspect; `Ready` is written always, the others only while they hold (kstatus). */
export interface Finding {
  readonly type: "Ready" | "Reconciling" | "Stalled" | "FetchFailed" | "InventoryFailed" | "Drifted";
  readonly holds: boolean;
  readonly reason: string;
  readonly message: string;
}

/** The conditions to write; one whose status stays keeps the time of its last transition. */
export function conditionsAfter(
  before: readonly Condition[] | undefined,
  findings: readonly Finding[],
  { now, generation }: { now: number; generation: number | undefined },
): Condition[] {
  return findings
    .filter(({ type, holds }) => holds || type === "Ready")
    .map(({ type, holds, reason, message }) => {
      const status = holds ? "True" : "False";
      const known = before?.find((condition) => condition.type === type && condition.status === status);
      const lastTransitionTime = known?.lastTransitionTime ?? isoTime(now);
      const observed = generation === undefined ? {} : { observedGeneration: generation };
      return { type, status, ...observed, lastTransitionTime, reason, message };
    });
}
