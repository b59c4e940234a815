import { z } from "zod";
import { StatusApp } from "./app.ts";
import { StatusHost } from "./host.ts";
import { filters, oneOrMore } from "./lists.ts";
import { RepoProblem, RevisionText } from "./terms.ts";

/** `fssync status -o json`. */
export const Status = z
  .object({
    repos: z.array(
      z.object({
        name: z.string(),
        revision: RevisionText.nullable(),
        suspended: z.literal(true).optional().describe("Only while people have stopped all work on it."),
        problems: z.array(RepoProblem).optional().describe("Only while something is wrong."),
        apps: z.array(StatusApp),
        hosts: z.array(StatusHost),
      }),
    ),
  })
  .meta({ id: "Status", description: "All there is to know, as `fssync status -o json` prints it." });

export const StatusQuery = z.strictObject({
  repo: filters.repo,
  app: oneOrMore(z.string().min(1).max(1024))
    .optional()
    .describe("`mod/env/app`; only these, and of hosts only what concerns them. May be given several times."),
});
