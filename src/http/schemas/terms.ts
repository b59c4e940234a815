import { z } from "zod";
import { STATES } from "../../model/state.ts";

/** Words that several answers use. */

export const StateName = z.enum(STATES).meta({
  id: "State",
  description:
    "Of one app on one host. The worst one is the host's and the app's: Failed > Conflict > Unreachable > Drifted > Syncing > Pending > Suspended > Synced.",
});

export const RevisionText = z
  .templateLiteral([z.string(), "@sha1:", z.string()])
  .describe("`branch@sha1:commit`, for example `main@sha1:1a2b…`.");

export const AppName = z
  .templateLiteral([z.string(), "/", z.string(), "/", z.string()], {
    error: "expected mod/env/app, for example nginx/prod/web",
  })
  .describe("`mod/env/app`.");

export const Time = z.string().meta({ format: "date-time" });

export const ReasonName = z.string().describe("A reason of docs/errors.md.");

const count = z.int().min(0);

export const Counts = z
  .object({ total: count, synced: count, pending: count, failed: count, unreachable: count, drifted: count })
  .meta({
    id: "Counts",
    description: "`pending` is whatever is under way, waits or is suspended; `failed` includes conflicts.",
  });

export const RepoProblem = z
  .object({ reason: ReasonName, message: z.string(), since: Time })
  .meta({ id: "RepoProblem", description: "What is wrong with Git or the inventory; the last good answer holds." });
