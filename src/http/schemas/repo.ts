import { z } from "zod";
import { listOf, page } from "./lists.ts";
import { Counts, RepoProblem, RevisionText, Time } from "./terms.ts";

export const Repo = z
  .object({
    name: z.string(),
    revision: RevisionText.nullable().describe(
      "The newest that is known; null before Git was read for the first time.",
    ),
    suspended: z.boolean().describe("Whether people have stopped all work on it."),
    fetchedAt: Time.optional().describe("When Git answered last; absent when it did not since this process began."),
    problems: z.array(RepoProblem).describe("Empty while nothing is wrong with Git and the inventory."),
    apps: Counts.describe("Its apps, each counted by its worst host."),
    hosts: Counts.describe("Its hosts, each counted by its worst app."),
  })
  .meta({ id: "Repo", description: "One Git repo and its hosts." });
export type Repo = z.infer<typeof Repo>;

export const RepoList = listOf(Repo).meta({ id: "RepoList" });

export const RepoQuery = z.strictObject(page);
