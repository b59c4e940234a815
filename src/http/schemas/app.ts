import { z } from "zod";
import { address, filters, listOf, page, watch } from "./lists.ts";
import { Counts, ReasonName, RevisionText, StateName, Time } from "./terms.ts";

/** An app as `fssync status -o json` has it. */
export const StatusApp = z
  .object({
    mod: z.string(),
    env: z.string(),
    app: z.string(),
    revision: RevisionText.describe("The one at which Git began to want what it wants now."),
    digest: z.string().describe("Of what Git wants."),
    state: StateName,
    hosts: Counts,
    reason: ReasonName.optional().describe("Why nothing of it is sent, whatever the host."),
    message: z.string().optional(),
  })
  .meta({ id: "StatusApp", description: "One app and how many hosts have it." });

export const App = StatusApp.extend({
  repo: z.string(),
  suspended: z.boolean().describe("Whether people have stopped work on it, or on its repo."),
  lagSince: Time.optional().describe(
    "Since when the host that lags the longest lags, of those that are not suspended.",
  ),
  reasons: z.record(z.string(), z.int().min(1)).describe("Hosts that failed, were not reached or are held, by reason."),
}).meta({ id: "App", description: "One app of one repo." });
export type App = z.infer<typeof App>;

export const AppList = listOf(App).meta({ id: "AppList" });

export const AppQuery = z
  .strictObject({
    ...filters,
    address: address.describe("Only those that a host at `address`, `address:port` or `[v6]:port` has or shall have."),
    ...page,
    watch,
  })
  .refine((query) => !query.watch || query.address === undefined, {
    error: "apps are not watched by address: watch hosts of that address",
    path: ["address"],
  });
export type AppQuery = z.infer<typeof AppQuery>;
