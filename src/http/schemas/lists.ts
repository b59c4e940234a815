import { z } from "zod";
import { StateName } from "./terms.ts";

/** What lists are asked with: which part of them, and of what. */

const MOST_ITEMS = 5000;

const name = z.string().min(1).max(255);

/** `?state=Failed&state=Unreachable` and `?state=Failed` alike. */
export function oneOrMore<Item extends z.ZodType>(item: Item) {
  return z.union([item.transform((one) => [one]), z.array(item).max(100)]);
}

export const Flag = z.enum(["true", "false"]).transform((text) => text === "true");

export const page = {
  limit: z.coerce.number().int().min(1).max(MOST_ITEMS).default(500).describe("How many items at most."),
  cursor: z.string().max(4096).optional().describe("What the answer before said as `next`."),
};

export const filters = {
  repo: z.string().min(1).max(512).optional().describe("Only of this repo."),
  mod: name.optional(),
  env: name.optional(),
  app: name.optional().describe("The last part of `mod/env/app`."),
  state: oneOrMore(StateName).optional().describe("Any of these; may be given several times."),
};

export const watch = Flag.optional().describe("Answer with server-sent events: what there is, then what changes.");

/** A list, or as much of it as was asked for. */
export function listOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next: z.string().optional().describe("There is more: the `cursor` to ask for it with."),
  });
}

export const RepoPath = z.object({
  repo: z.string().min(1).describe("Name of the repo; with all namespaces `namespace%2Fname`."),
});

export const AppPath = RepoPath.extend({ mod: z.string().min(1), env: z.string().min(1), app: z.string().min(1) });

export const HostPath = RepoPath.extend({
  host: z.string().min(1).describe("`address`, `address:port` or `[v6]:port`."),
});
