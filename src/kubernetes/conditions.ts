import type { Condition } from "../config/resources.ts";

/** Milliseconds since the epoch as Kubernetes writes a time. */
export function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

export type WantedCondition = Omit<Condition, "lastTransitionTime">;

/** The conditions to store: `lastTransitionTime` stays while a condition's status does. Those not wanted go. */
export function setConditions(
  before: readonly Condition[],
  wanted: readonly WantedCondition[],
  now: number,
): Condition[] {
  return wanted.map((condition) => {
    const known = before.find(({ type }) => type === condition.type);
    const same = known?.status === condition.status;
    return { ...condition, lastTransitionTime: same ? known.lastTransitionTime : timeText(now) };
  });
}

/** What is found of one aspect; `Ready` is written always, the others only while they hold (kstatus). */
export interface Finding {
  readonly type: "Ready" | "Reconciling" | "Stalled" | "FetchFailed" | "InventoryFailed" | "Drifted";
  readonly holds: boolean;
  readonly reason: string;
  readonly message: string;
}

/** Findings as conditions of the generation that they were judged by. */
export function conditionsAfter(
  before: readonly Condition[] | undefined,
  findings: readonly Finding[],
  { now, generation }: { now: number; generation: number | undefined },
): Condition[] {
  const wanted = findings
    .filter(({ type, holds }) => holds || type === "Ready")
    .map(({ type, holds, reason, message }): WantedCondition => {
      const observed = generation === undefined ? {} : { observedGeneration: generation };
      return { type, status: holds ? "True" : "False", ...observed, reason, message };
    });
  return setConditions(before ?? [], wanted, now);
}
