import { z } from "zod";
import { Flag } from "./lists.ts";
import { AppName, ReasonName, RepoProblem, RevisionText } from "./terms.ts";

const paths = z.array(z.string()).describe("Paths below the host's root.");

/** `fssync plan -o json`. */
export const Plan = z
  .object({
    repos: z.array(
      z.object({
        name: z.string(),
        revision: RevisionText.nullable(),
        suspended: z.literal(true).optional().describe("Nothing of this is done before people let it go on."),
        problems: z
          .array(RepoProblem)
          .optional()
          .describe("Only while something is wrong with Git or the inventory: it is by the last good answers then."),
        hosts: z.array(
          z.object({
            address: z.string(),
            port: z.int(),
            apps: z.array(
              z.object({
                app: AppName,
                base: z.string().nullable().describe("Digest of what the host has; null when nothing is known of it."),
                desired: z.string().describe("Digest of what it shall have."),
                send: paths,
                delete: paths,
                why: z.string(),
                held: z
                  .object({ reason: ReasonName, message: z.string(), send: paths.optional(), delete: paths.optional() })
                  .optional()
                  .describe("Why a sync would leave the app alone."),
                suspended: z.literal(true).optional().describe("Nothing of it is done before people let it go on."),
              }),
            ),
          }),
        ),
      }),
    ),
  })
  .meta({ id: "Plan", description: "What a sync would send and delete where; hosts with nothing to do are left out." });

export const PlanQuery = z.strictObject({
  refresh: Flag.optional().describe("Asks Git and the CMDB first."),
});
