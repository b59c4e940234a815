import { z } from "zod";
import { parseDuration } from "../../model/duration.ts";
import { AppOnHost } from "./host.ts";
import { AppPart, listOf, oneOrMore, page } from "./lists.ts";
import { ReasonName, RepoProblem, RevisionText, StateName, Time } from "./terms.ts";

/** Longer nobody waits in one request; one may ask again. */
const LONGEST_WAIT = 300_000;
const DURATION = /^(\d+(\.\d+)?(ms|s|m|h|d))+$/;

const name = z.string().min(1).max(255);

const NAMES_NOTHING = "name a repo, mod, env, app or hosts to be synced, or say all: true for everything";

/** Hosts that have all of what is named are the ones that are meant. */
const asked = {
  repo: z.string().min(1).max(512).optional(),
  mod: name.optional(),
  env: name.optional(),
  app: AppPart.optional(),
  hosts: z
    .array(z.string().min(1).max(512).describe("`address`, `address:port` or `[v6]:port`."))
    .min(1)
    .max(5000)
    .optional(),
  all: z.literal(true).optional().describe("Everything there is; only where nothing else is named."),
};

export const SyncBody = z
  .strictObject(
    {
      ...asked,
      full: z
        .boolean()
        .default(false)
        .describe("Every file is compared by checksum, also where the host is recorded to have all of it."),
      allowPrune: z.boolean().default(false).describe("Deletes more than `sync.maxDeletePercent` this once."),
    },
    { error: ({ code }) => (code === "invalid_type" ? `expected a JSON object: ${NAMES_NOTHING}` : undefined) },
  )
  .refine(({ repo, mod, env, app, hosts, all }) => (repo ?? mod ?? env ?? app ?? hosts ?? all) !== undefined, {
    error: NAMES_NOTHING,
  })
  .refine(({ repo, mod, env, app, hosts, all }) => !all || (repo ?? mod ?? env ?? app ?? hosts) === undefined, {
    error: "all: true means everything, and something is named beside it",
  })
  .meta({ id: "SyncRequest", description: "What is to be synced now. Something must be named, or all of it." });
export type SyncBody = z.infer<typeof SyncBody>;

const OutcomeName = z.enum(["Waiting", "Synced", "Failed", "Unreachable", "Held", "Suspended", "Drifted", "Gone"]);

export const WaitQuery = z.strictObject({
  outcome: oneOrMore(OutcomeName)
    .optional()
    .describe("Answer with hosts of these outcomes only; may be given several times."),
  wait: z
    .string()
    .max(32)
    .regex(DURATION, { error: "expected a duration, for example 60s" })
    .transform((text, context) => {
      const milliseconds = parseDuration(text)!;
      if (milliseconds <= LONGEST_WAIT) return milliseconds;
      context.addIssue("at most 5m in one request; ask again after that");
      return z.NEVER;
    })
    .optional()
    .describe("Answer when it is over, at the latest after this time: `60s`, at most `5m`."),
});

export type WaitQuery = z.infer<typeof WaitQuery>;

export const SyncHeaders = z.looseObject({
  "idempotency-key": z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe("The same key of the same caller within the hour is the same operation: nothing is begun twice."),
});

const count = z.int().min(0);

const Counts = z
  .object({
    total: count.describe("Hosts that are meant: the sum of the others but `attempted`."),
    upToDate: count.describe("Had all of it; nothing was to be done there."),
    attempted: count.describe("Worked on so far, whatever came of it; each counts in its outcome too."),
    waiting: count.describe("Not attempted yet, or ended before it was done."),
    synced: count,
    failed: count.describe("Reached, and it did not work."),
    unreachable: count,
    held: count.describe("Nothing is sent until people change something: PruneLimitExceeded, PathConflict, …"),
    suspended: count.describe("People have stopped work there."),
    drifted: count.describe("Somebody changed files there since they were synced; `full` lays over that."),
    gone: count.describe("Left the inventory meanwhile."),
  })
  .meta({ id: "OperationCounts", description: "Hosts by what became of them." });

const LeftAlone = z
  .object({
    repo: z.string(),
    mod: name.optional(),
    env: name.optional(),
    app: name.optional(),
    address: z.string().optional().describe("Where it is a host that is suspended."),
    port: z.int().optional(),
    since: Time.optional(),
    by: z.string().optional(),
    reason: z.string().optional(),
    hosts: count.describe("On how many hosts there would have been something to do."),
  })
  .meta({
    id: "LeftAlone",
    description: "A repo, an app or a host that people have suspended; who and why where known.",
  });

const OperationHost = z
  .object({
    repo: z.string(),
    address: z.string(),
    port: z.int(),
    outcome: OutcomeName.describe("Synced: it has what Git has, and nothing else counts as success."),
    state: StateName.nullable().describe("Of the host when it was attempted; null when it has left the inventory."),
    attempted: z.boolean(),
    message: z.string().optional().describe("Of one that is suspended: by whom and why, where that is known."),
    apps: z.array(AppOnHost).describe("As they were after the attempt; none before."),
  })
  .meta({ id: "OperationHost", description: "One host of an operation." });

export const Operation = z
  .object({
    id: z.string(),
    kind: z.literal("sync"),
    phase: z
      .enum(["Running", "Succeeded", "Failed"])
      .describe(
        "Succeeded: every host that is still in the inventory has what Git has. Failed also when Git or the inventory did not answer for what was asked. A sync of no host at all is Succeeded too: look at `counts.total`.",
      ),
    message: z.string().describe("For people."),
    request: z.object({ ...asked, full: z.boolean(), allowPrune: z.boolean() }),
    by: z.string().describe("Who asked."),
    createdAt: Time,
    finishedAt: Time.optional(),
    revisions: z
      .array(z.object({ repo: z.string(), revision: RevisionText.nullable() }))
      .describe("What Git had when the hosts were queued; a host may get a newer one."),
    counts: Counts,
    problems: z
      .array(RepoProblem.extend({ repo: z.string() }))
      .describe("What was wrong with Git or the inventory: the sync went by the last good answers."),
    leftAlone: z.array(LeftAlone).optional().describe("What of it is suspended, if anything; `/suspensions` has all."),
    error: z
      .object({ reason: ReasonName, message: z.string(), next: z.string() })
      .optional()
      .describe("Why it was not done as a whole."),
    hostsForgotten: z
      .literal(true)
      .optional()
      .describe("So much was asked for since that only the counts are left of its hosts."),
    hosts: z
      .array(OperationHost)
      .optional()
      .describe("Those with something to do: hosts that are up to date are left out. Not in lists."),
  })
  .meta({ id: "Operation", description: "A sync that somebody asked for. It is kept for an hour after its end." });
export type Operation = z.infer<typeof Operation>;

export const OperationList = listOf(Operation).meta({ id: "OperationList" });

export const OperationQuery = z.strictObject({
  phase: oneOrMore(Operation.shape.phase).optional().describe("Any of these; may be given several times."),
  ...page,
});
export type OperationQuery = z.infer<typeof OperationQuery>;

export const OperationPath = z.object({ id: z.string().min(1).max(64) });
