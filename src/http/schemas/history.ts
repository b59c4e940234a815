import { z } from "zod";
import { RevisionText, Time } from "./terms.ts";

/** Commits of one answer. */
const MOST_COMMITS = 100;

export const HistoryCommit = z
  .object({
    commit: z.string().describe("Its whole id."),
    revision: RevisionText,
    author: z.string().describe("The author's name."),
    date: Time.describe("When it was committed."),
    subject: z.string().describe("The first line of its message."),
    hosts: z
      .int()
      .min(0)
      .describe(
        "Hosts that synced this version of the app last: at this commit, or at a later one before the next of the list.",
      ),
  })
  .meta({ id: "HistoryCommit", description: "A commit that changed an app." });
export type HistoryCommit = z.infer<typeof HistoryCommit>;

export const History = z
  .object({ items: z.array(HistoryCommit) })
  .meta({ id: "History", description: "Commits of the branch that changed an app, the newest first." });

export const HistoryQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MOST_COMMITS).default(20).describe("How many commits at most."),
});
