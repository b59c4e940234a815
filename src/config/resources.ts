import { z } from "zod";
import { DRIFT_CHANGES } from "../model/drift.ts";
import { isPort } from "../model/host.ts";
import { STATES } from "../model/state.ts";
import { ConfigRepo } from "./schema.ts";

// The custom resources that the controller writes: what `kubectl get configapps,confighosts` shows. They
// are the status store of a controller in Kubernetes, so every field of a record has its place here.

const time = z.iso.datetime({ precision: 3 });
const count = z.int().min(0);
const revision = z.string().describe("A commit as people read it: main@sha1:<40 hex>.");
const digest = z.string().describe("SHA-256 over content, ownership and modes of an app.");
const state = z.enum(STATES);

/** kstatus: `Ready` always, `Reconciling` and `Stalled` only while True. */
export const Condition = z
  .strictObject({
    type: z.string().describe("Ready, Reconciling, Stalled, FetchFailed, InventoryFailed or Drifted."),
    status: z.enum(["True", "False", "Unknown"]).describe("Whether the condition holds."),
    observedGeneration: z.int().optional().describe("The generation of the spec that it was judged by."),
    lastTransitionTime: time.describe("When status changed the last time."),
    reason: z.string().max(1024).describe("Why, in one word for machines."),
    message: z.string().max(32_768).describe("Why, for people."),
  })
  .describe("One aspect of how the object is.");
export type Condition = z.output<typeof Condition>;

const RepoRef = z
  .strictObject({ name: z.string().describe("Name of the ConfigRepo, in the same namespace.") })
  .describe("The ConfigRepo that it belongs to.");

const suspend = z.boolean().prefault(false).describe("true stops all work here; nothing else changes.");

const common = {
  observedGeneration: z.int().optional().describe("The generation of the spec that the controller acts by."),
  conditions: z.array(Condition).optional().describe("How the object is."),
  lastAttemptedRevision: revision.optional().describe("The newest revision that a sync was begun for."),
  lastAppliedRevision: revision.optional().describe("The newest revision that everything below has."),
  lastHandledReconcileAt: z
    .string()
    .optional()
    .describe("The last value of the annotation fssync.dev/requestedAt whose hosts were all attempted."),
};

const Problem = z
  .strictObject({
    reason: z.string().describe("One of the reasons of docs/errors.md."),
    message: z.string().describe("What went wrong, for people."),
    since: time.describe("When it began."),
  })
  .describe("One thing that is wrong with Git or the inventory.");

export const ConfigRepoStatus = z
  .strictObject({
    ...common,
    revision: revision.optional().describe("The commit that hosts follow now."),
    problems: z.array(Problem).optional().describe("What is wrong with Git or the inventory now."),
    apps: count.optional().describe("Apps in Git."),
    hosts: count.optional().describe("Hosts in the inventory."),
    synced: count.optional().describe("Hosts whose apps are all as in Git."),
    failed: count.optional().describe("Hosts with an app that failed or is in conflict."),
    unreachable: count.optional().describe("Hosts that cannot be reached."),
    drifted: count.optional().describe("Hosts whose files were changed by somebody else."),
  })
  .describe("How the fleet is; the controller writes it.");
export type ConfigRepoStatus = z.output<typeof ConfigRepoStatus>;

const HostCounts = z
  .strictObject({
    total: count.describe("Hosts that run the app."),
    synced: count.describe("Hosts that have what Git has."),
    pending: count.describe("Hosts under way, waiting or suspended."),
    failed: count.describe("Hosts on which it did not work."),
    unreachable: count.describe("Hosts that were not reached."),
    drifted: count.describe("Hosts whose files were changed by somebody else."),
  })
  .describe("The app's hosts by state.");

const Attempt = z
  .strictObject({
    first: z.int().describe("Number of the first attempt."),
    last: z.int().describe("Number of the last attempt."),
    revision,
    digest,
  })
  .describe("Attempts in a row with one digest.");
export type Attempt = z.output<typeof Attempt>;

const HistoryEntry = z
  .strictObject({
    revision,
    digest,
    startedAt: time.describe("When the revision was seen."),
    finishedAt: time.optional().describe("When the last host had it."),
    total: count.describe("Hosts that run the app."),
    synced: count.describe("Hosts that have this revision."),
  })
  .describe("One rollout.");
export type HistoryEntry = z.output<typeof HistoryEntry>;

export const ConfigAppSpec = z
  .strictObject({
    repoRef: RepoRef,
    mod: z.string().describe("First folder of the app."),
    env: z.string().describe("Second folder of the app."),
    app: z.string().describe("Third folder of the app."),
    suspend,
  })
  .describe("Which app it is, and whether it is at rest.");
export type ConfigAppSpec = z.output<typeof ConfigAppSpec>;

export const ConfigAppStatus = z
  .strictObject({
    ...common,
    revision: revision.optional().describe("The revision at which what hosts shall have was first seen."),
    digest: digest.optional().describe("What hosts shall have."),
    seenAt: time.optional().describe("When the digest was first seen."),
    refused: z
      .strictObject({ reason: z.string().describe("Why."), message: z.string().describe("Why, for people.") })
      .optional()
      .describe("Why nothing of the app is synced."),
    state: state.optional().describe("The worst state of its hosts."),
    hosts: HostCounts.optional(),
    history: z.array(HistoryEntry).max(5).optional().describe("The last rollouts, newest first."),
    attempts: z
      .array(Attempt)
      .optional()
      .describe("What was about to be sent, noted before the first byte; for the controller itself."),
  })
  .describe("How the app is on its hosts; the controller writes it.");
export type ConfigAppStatus = z.output<typeof ConfigAppStatus>;

export const ConfigHostSpec = z
  .strictObject({
    repoRef: RepoRef,
    address: z.string().describe("IP address or name."),
    port: z.int().refine(isPort).meta({ minimum: 1, maximum: 65_535 }).describe("ssh port."),
    root: z.string().prefault("/").describe("Folder that paths are laid under."),
    user: z.string().optional().describe("Login, as the inventory said last."),
    suspend,
  })
  .describe("Which host it is, and whether it is at rest.");
export type ConfigHostSpec = z.output<typeof ConfigHostSpec>;

const change = z.enum(DRIFT_CHANGES);
const driftedPath = z.string().describe("Path below the root; as JSON where it is no UTF-8.");

export const DriftedFile = z
  .strictObject({
    path: driftedPath,
    change: change.describe("How it differs; conflict: Git changed it too."),
    since: time.describe("When it was first seen."),
  })
  .describe("A file that somebody changed on the host.");
export type DriftedFile = z.output<typeof DriftedFile>;

export const ReplacedFile = z
  .strictObject({
    path: driftedPath,
    change: change.describe("How it differed; conflict: Git had changed it too."),
    at: time.describe("When it was laid over."),
    kept: z.string().optional().describe("Where on the host the version from before is."),
  })
  .describe("A file that somebody had changed and that fssync laid its own over.");
export type ReplacedFile = z.output<typeof ReplacedFile>;

export const DriftOnHost = z
  .strictObject({
    count: count.describe("Files that somebody changed, as the last look found them."),
    files: z.array(DriftedFile).optional().describe("Which; the worst of them where there are many."),
    replaced: z
      .array(ReplacedFile)
      .optional()
      .describe("Files of the last day that fssync laid its own over; the newest of them where there are many."),
  })
  .describe("What somebody else changed of what was synced.");
export type DriftOnHost = z.output<typeof DriftOnHost>;

export const AppOnHost = z
  .strictObject({
    app: z.string().describe("mod/env/app."),
    state: state.describe("How the app is on this host."),
    revision: revision.optional().describe("What the host last synced."),
    digest: digest.optional().describe("What the host last synced."),
    syncedAt: time.optional().describe("When it did."),
    lagSince: time.optional().describe("Since when it lags behind Git."),
    syncingSince: time.optional().describe("When a sync that takes long began."),
    unfinished: z.array(revision).optional().describe("Revisions whose sync was begun and not finished."),
    attempt: z.int().optional().describe("Number of the last attempt that this record covers."),
    reason: z.string().optional().describe("Why the last attempt failed; see docs/errors.md."),
    message: z.string().optional().describe("The first useful line of what the host said."),
    failedState: z.enum(["Failed", "Unreachable", "Conflict"]).optional().describe("What kind of failure it was."),
    failedAt: time.optional().describe("When it failed."),
    attempts: count.optional().describe("Attempts in a row that failed."),
    verifying: z.boolean().optional().describe("true when it was a look at the host's files that failed, and no sync."),
    drift: DriftOnHost.optional(),
  })
  .describe("One app on this host.");
export type AppOnHost = z.output<typeof AppOnHost>;

export const ConfigHostStatus = z
  .strictObject({
    ...common,
    state: state.optional().describe("The worst state of its apps."),
    total: count.optional().describe("Apps that the inventory puts on this host."),
    synced: count.optional().describe("Apps that are as in Git."),
    lastSyncAt: time.optional().describe("When an app was synced the last time."),
    root: z.string().optional().describe("Folder that the records hold for."),
    fallback: z
      .string()
      .optional()
      .describe("Why its last sync came by plain rsync, where most hosts get a batch; absent when it did not."),
    apps: z.array(AppOnHost).optional().describe("Its apps."),
  })
  .describe("How the host is: the record of what was synced to it. The controller writes it.");
export type ConfigHostStatus = z.output<typeof ConfigHostStatus>;

/** The three kinds of group fssync.dev/v1alpha1: names, schemas and columns, from which the CRDs are made. */
export const RESOURCES = {
  ConfigRepo: {
    plural: "configrepos",
    shortName: "crepo",
    description: "A Git repo whose files fssync keeps on hosts.",
    spec: ConfigRepo.shape.spec,
    status: ConfigRepoStatus,
  },
  ConfigApp: {
    plural: "configapps",
    shortName: "capp",
    description:
      "One app of a ConfigRepo on all its hosts. fssync makes and removes it; yours are spec.suspend and the " +
      "annotation fssync.dev/requestedAt, whose every change syncs its hosts again in full.",
    spec: ConfigAppSpec,
    status: ConfigAppStatus,
  },
  ConfigHost: {
    plural: "confighosts",
    shortName: "chost",
    description:
      "One host of a ConfigRepo with all its apps. fssync makes and removes it; yours are spec.suspend and the " +
      "annotation fssync.dev/requestedAt, whose every change syncs the host again in full.",
    spec: ConfigHostSpec,
    status: ConfigHostStatus,
  },
} as const;
export type ResourceKind = keyof typeof RESOURCES;
