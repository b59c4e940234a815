import { z } from "zod";
import { StateName } from "./terms.ts";

/** What lists are asked with: which part of them, and of what. */

const MOST_ITEMS = 5000;

const name = z.string().min(1).max(255);

/** What most who are wrong here mean is the whole name. */
export const AppPart = name
  .regex(/^[^/]*$/, { error: "expected the last part of mod/env/app alone; mod and env are said beside it" })
  .describe("The last part of `mod/env/app`.");

/** `?state=Failed&state=Unreachable` and `?state=Failed` alike. */
export function oneOrMore<Item extends z.ZodType>(item: Item) {
  return z.preprocess((given) => (typeof given === "string" ? [given] : given), z.array(item).max(100));
}

const YES_OR_NO = new Map([
  ["", "true"],
  ["1", "true"],
  ["0", "false"],
]);

/** `?watch` alone says yes, and `1` and `0` are as good as what the description names. */
export const Flag = z
  .preprocess(
    (given) => YES_OR_NO.get(given as string) ?? given,
    z.enum(["true", "false"], { error: "expected true, 1 or nothing for yes, false or 0 for no" }),
  )
  .transform((text) => text === "true");

export const page = {
  limit: z.coerce.number().int().min(1).max(MOST_ITEMS).default(500).describe("How many items at most."),
  cursor: z.string().max(4096).optional().describe("What the answer before said as `next`."),
};

export const filters = {
  repo: z.string().min(1).max(512).optional().describe("Only of this repo."),
  mod: name.optional(),
  env: name.optional(),
  app: AppPart.optional(),
  state: oneOrMore(StateName).optional().describe("Any of these; may be given several times."),
};

export const address = z.string().min(1).max(512).optional().describe("`address`, `address:port` or `[v6]:port`.");

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
