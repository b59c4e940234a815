import { z } from "zod";
import { filters, listOf, page } from "./lists.ts";
import { Time } from "./terms.ts";

const name = z.string().min(1).max(255);

const target = {
  repo: z.string().min(1).max(512),
  mod: name.optional(),
  env: name.optional(),
  app: name.optional().describe("The last part of `mod/env/app`."),
};

const ONE_APP = "an app is named by mod, env and app together";
const HOST_ALONE = "name an app or a host, not both";

export const SuspendBody = z
  .strictObject({
    ...target,
    host: z.string().min(1).max(512).optional().describe("`address`, `address:port` or `[v6]:port`."),
    reason: z.string().max(1000).default("").describe("Why, for whoever finds it suspended."),
  })
  .refine(({ mod, env, app }) => new Set([mod, env, app].map((part) => part === undefined)).size === 1, {
    error: ONE_APP,
  })
  .refine(({ app, host }) => app === undefined || host === undefined, { error: HOST_ALONE })
  .meta({
    id: "SuspendRequest",
    description: "A whole repo; one app of it (mod, env, app) on all its hosts; or one host with all its apps of it.",
  });
export type SuspendBody = z.infer<typeof SuspendBody>;

export const Suspension = z
  .object({
    ...target,
    address: z.string().optional().describe("Where it is a host that is meant."),
    port: z.int().optional(),
    suspended: z.boolean().describe("Whether people have stopped work on this itself; its repo may be suspended too."),
    since: Time.optional(),
    by: z.string().optional(),
    reason: z.string().optional(),
  })
  .meta({ id: "Suspension", description: "Where people have stopped work; `since`, `by` and `reason` where known." });
export type Suspension = z.infer<typeof Suspension>;

export const SuspensionList = listOf(Suspension).meta({ id: "SuspensionList" });

export const SuspensionQuery = z.strictObject({ repo: filters.repo, ...page });
