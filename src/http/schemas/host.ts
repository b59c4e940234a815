import { z } from "zod";
import { DRIFT_CHANGES } from "../../model/drift.ts";
import { address, filters, listOf, page, watch } from "./lists.ts";
import { AppName, ReasonName, RevisionText, StateName, Time } from "./terms.ts";

const DriftChange = z.enum(DRIFT_CHANGES);

export const AppOnHost = z
  .object({
    app: AppName,
    state: StateName,
    revision: RevisionText.nullable().describe("The one last synced there; null when none was."),
    digest: z.string().nullable().describe("Of what was last synced there."),
    syncedAt: Time.nullable(),
    lagSince: Time.optional().describe("Since when the host lags behind Git; absent while it does not."),
    reason: ReasonName.optional(),
    message: z.string().optional(),
    failedAt: Time.optional(),
    attempts: z.int().optional().describe("How many in a row failed."),
    notCompared: z.literal(true).optional().describe("Only of a look: its files, or some of them, were not compared."),
    files: z
      .array(
        z.object({
          path: z.string().describe("Below the host's root."),
          change: DriftChange,
          since: Time.optional(),
          secret: z.literal(true).optional(),
          contents: z.string().optional(),
          diff: z.string().nullable().optional(),
          notShown: z.string().optional(),
        }),
      )
      .optional()
      .describe("Files that somebody else changed, the first of them; absent when there are none."),
    fileCount: z.int().optional().describe("How many such files there are, where not all are said."),
    replaced: z
      .array(z.object({ path: z.string(), change: DriftChange, at: Time, kept: z.string().optional() }))
      .optional()
      .describe("What of such files fssync laid Git's over within the last day."),
  })
  .meta({ id: "AppOnHost", description: "One app on one host." });

/** A host as `fssync status -o json` has it. */
export const StatusHost = z
  .object({
    address: z.string(),
    port: z.int(),
    state: StateName,
    fallback: z
      .string()
      .optional()
      .describe("Why its last sync came by plain rsync, where most hosts get a batch; absent when it did not."),
    apps: z.array(AppOnHost),
  })
  .meta({ id: "StatusHost", description: "One host and what it has." });

export const Host = StatusHost.extend({
  repo: z.string(),
  suspended: z.boolean().describe("Whether people have stopped work on it, or on its repo."),
}).meta({ id: "Host", description: "One host of one repo." });
export type Host = z.infer<typeof Host>;

export const HostList = listOf(Host).meta({ id: "HostList" });

export const HostQuery = z.strictObject({
  ...filters,
  address,
  ...page,
  watch,
});
export type HostQuery = z.infer<typeof HostQuery>;
