import type { Condition } from "../../config/resources.ts";
import { timeText } from "./text.ts";

export type WantedCondition = Pick<Condition, "type" | "status" | "reason" | "message">;

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
