import { z } from "zod";
import { formatDuration, parseDuration } from "../model/duration.ts";

const DURATION = /^(\d+(\.\d+)?(ms|s|m|h|d))+$/;
const EXPECTED = "expected a duration like 10s, 5m or 1h";

/** A duration as people write it; parsed to milliseconds within bounds (milliseconds, inclusive), or none at all with `orZero`. */
export function duration({ min, max, orZero = false }: { min: number; max: number; orZero?: boolean }) {
  return z
    .string({ error: EXPECTED })
    .regex(DURATION, { error: EXPECTED })
    .transform((text) => parseDuration(text) ?? Number.NaN)
    .refine((milliseconds) => (milliseconds >= min && milliseconds <= max) || (orZero && milliseconds === 0), {
      error: `expected ${orZero ? "0s, or " : ""}between ${formatDuration(min)} and ${formatDuration(max)}`,
    });
}
