import { compile } from "@jmespath-community/jmespath";
import { z } from "zod";
import { isAccountName, isPort, isRootFolder } from "../model/host.ts";
import { duration } from "./duration-field.ts";
import { globMistake } from "./globs.ts";
import { gitUrlMistake } from "./git-url.ts";
import { httpUrlMistake } from "./http-url.ts";

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;
const ACCOUNT = "expected a user or group name, or a numeric id";

const folderName = z
  .string({ error: "expected the name of a folder" })
  // Neither `.` nor `..` nor a leading dash, without lookaheads: the API server's RE2 has none.
  // oxlint-disable-next-line no-control-regex
  .regex(/^([^-./\x00-\x1f\x7f]|\.[^./\x00-\x1f\x7f]|\.\.[^/\x00-\x1f\x7f])[^/\x00-\x1f\x7f]*$/, {
    error: "expected one folder name, without a slash",
  });

const part = (what: string) => folderName.describe(what);

/** A number would do where YAML reads `owner: 0` as one; it becomes text, as owners are everywhere else. */
const account = z
  .union(
    [
      z.string().meta({ pattern: "^([A-Za-z_][A-Za-z0-9_.-]{0,63}\\$?|[0-9]{1,10})$" }),
      z.int().meta({ minimum: 0, maximum: 2 ** 32 - 2 }),
    ],
    { error: ACCOUNT },
  )
  .transform(String)
  .refine((text) => isAccountName(text) || (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 - 1), { error: ACCOUNT });

const percent = z
  .int({ error: "expected a whole number from 0 to 100" })
  .min(0, { error: "expected a whole number from 0 to 100" })
  .max(100, { error: "expected a whole number from 0 to 100" });

const port = z
  .int({ error: "expected a port, 1 to 65535" })
  .refine(isPort, { error: "expected a port, 1 to 65535" })
  .meta({ minimum: 1, maximum: 65_535 });

const login = z
  .string({ error: "expected a login name" })
  .refine(isAccountName, { error: "expected a login name of letters, digits, dot, dash and underscore" })
  .meta({ pattern: "^[A-Za-z_][A-Za-z0-9_.-]{0,63}\\$?$" });

const SecretRef = z.strictObject({
  name: z
    .string({ error: "expected the name of a Secret" })
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/, {
      error: "expected the name of a Secret: letters, digits, dots and dashes, no slash",
    })
    .describe("Name of the Secret; standalone: of the folder below --secrets-dir that has one file a key."),
});

const Git = z.strictObject({
  url: z
    .string({ error: "expected a Git URL" })
    .refine((text) => gitUrlMistake(text) === undefined, { error: ({ input }) => gitUrlMistake(String(input))! })
    .meta({ pattern: "^[^-\\x00-\\x20\\x7f][^\\x00-\\x20\\x7f]*$" })
    .describe("Where the repo is: https://host/path, ssh://user@host/path or user@host:path, without credentials."),
  branch: z
    .string({ error: "expected the name of a branch" })
    .refine(isBranchName, { error: "expected the name of a branch, as git check-ref-format allows it" })
    .meta({ pattern: "^[^-\\x00-\\x20\\x7f~^:?*[\\\\][^\\x00-\\x20\\x7f~^:?*[\\\\]*$" })
    .prefault("main")
    .describe("The branch that hosts follow."),
  interval: duration({ min: SECOND, max: DAY })
    .prefault("10s")
    .describe("How often the remote is asked for a new commit; jittered."),
  timeout: duration({ min: SECOND, max: HOUR })
    .prefault("60s")
    .describe("How long git may say nothing before it is ended; a long fetch that makes progress goes on."),
  secretRef: SecretRef.optional().describe(
    "Secret with username and password (https), or identity and known_hosts (ssh).",
  ),
  webhook: z
    .strictObject({
      secretRef: SecretRef.describe("Secret with token: what GitLab, GitHub, Gitea or a script signs webhooks with."),
    })
    .optional()
    .describe("Who may say over HTTP that the branch moved; no webhook is believed when absent."),
  author: z
    .strictObject({
      name: nameOfAuthor("expected a name without < and >").describe("Name of the author."),
      email: nameOfAuthor("expected an e-mail address").describe("E-mail address of the author."),
    })
    .prefault({ name: "fssync", email: "fssync@localhost" })
    .describe("Author of the commits that people make through POST /modify."),
});

const Layout = z.strictObject({
  common: folderName
    .optional()
    .describe("Name of a folder beside the apps of a mod/env that lies under each of them; omit for none."),
});

const HttpInventory = z.strictObject({
  url: httpUrl({ placeholders: true }).describe(
    "URL of the CMDB. One query per app when it holds {mod}, {env} or {app}, else one query for all apps.",
  ),
  secretRef: SecretRef.optional().describe("Secret with token (sent as Bearer), or username and password."),
  hosts: z
    .string({ error: "expected a JMESPath expression" })
    .superRefine(checkJmesPath)
    .prefault("@")
    .describe("JMESPath from the answer to a list of addresses, or of host objects."),
});

const SdLabels = z.strictObject({
  mod: z.string().min(1).prefault("mod").describe("Label that holds the mod."),
  env: z.string().min(1).prefault("env").describe("Label that holds the env, as the CMDB calls it."),
  app: z.string().min(1).prefault("app").describe("Label that holds the app."),
});

const HttpSdInventory = z.strictObject({
  url: httpUrl({ placeholders: false }).describe("URL that answers as Prometheus http_sd does, for all apps at once."),
  secretRef: SecretRef.optional().describe("Secret with token (sent as Bearer), or username and password."),
  labels: SdLabels.prefault({}).describe("Names of the labels that say which app a target belongs to."),
});

const FileInventory = z.strictObject({
  path: z
    .string({ error: "expected the path of a file" })
    .min(1, { error: "expected the path of a file" })
    .describe("YAML or JSON file with a list of host objects; relative to the folder of this document."),
});

/** Addresses are checked by the inventory, host by host: a bad one must not stop its siblings. */
const StaticHost = z.strictObject({
  address: z.string({ error: "expected an address" }).describe("IP address or name."),
  port: port.optional().describe("ssh port; ssh.port when absent."),
  user: login.optional().describe("Login; ssh.user when absent."),
  root: z
    .string({ error: "expected an absolute folder" })
    .refine(isRootFolder, { error: "expected an absolute folder without .." })
    .optional()
    .describe("Folder that paths are laid under; / when absent."),
});

const StaticGroup = z.strictObject({
  mod: part("First folder of the app.").optional(),
  env: part("Env of the app as the CMDB would call it; envAliases apply.").optional(),
  app: part("Name of the app."),
  hosts: z
    .array(
      z
        .union([z.string(), StaticHost], { error: "expected an address or a host object" })
        .describe("An address, or {address, port, user, root} of which only address must be there."),
      { error: "expected a list of addresses" },
    )
    .describe("Addresses (`10.0.0.1`, `web-1:2222`, `[::1]:22`) or host objects."),
});

const KINDS = ["http", "httpSD", "file", "static"] as const;

const Inventory = z
  .strictObject({
    interval: duration({ min: SECOND, max: DAY }).prefault("60s").describe("How often the CMDB is asked; jittered."),
    envAliases: z
      .record(z.string(), z.string({ error: "expected the env's name in the CMDB" }), {
        error: "expected a map from env in Git to env in the CMDB",
      })
      .prefault({})
      .describe("Env in Git -> env asked of the CMDB."),
    maxShrinkPercent: percent
      .prefault(50)
      .describe("A query that loses more of its hosts than this is held, not obeyed; 100 obeys everything."),
    http: HttpInventory.optional().describe("A CMDB asked over HTTP."),
    httpSD: HttpSdInventory.optional().describe("A Prometheus http_sd endpoint."),
    file: FileInventory.optional().describe("A file, re-read when it changes."),
    static: z
      .array(StaticGroup, { error: "expected a list of {mod, env, app, hosts}" })
      .optional()
      .describe("Hosts written here."),
  })
  .refine((inventory) => KINDS.filter((kind) => inventory[kind] !== undefined).length === 1, {
    error: `expected exactly one of ${KINDS.join(", ")}`,
    // Also beside other mistakes: all are told at once.
    when: ({ value }) => typeof value === "object" && value !== null,
  })
  .meta({ oneOf: KINDS.map((kind) => ({ required: [kind] })) });

const Ssh = z.strictObject({
  user: login.prefault("root").describe("Login on the hosts."),
  port: port.prefault(22).describe("ssh port of hosts whose address has none."),
  secretRef: SecretRef.optional().describe(
    "Secret with identity (private key) and known_hosts; optional passphrase, identity-cert.pub.",
  ),
  hostKeys: z
    .enum(["strict", "accept-new"])
    .prefault("strict")
    .describe("strict: a host's key must be in known_hosts. accept-new: a first key is believed and kept."),
  client: z
    .enum(["builtin", "openssh"])
    .prefault("builtin")
    .describe(
      "builtin: connections inside fssync, over which a change goes as one command; openssh: the system's ssh and rsync. What only OpenSSH can do it does either way.",
    ),
  sudo: z.boolean().prefault(false).describe("Run what is run on the host by `sudo -n`."),
  connectTimeout: duration({ min: SECOND, max: HOUR }).prefault("10s").describe("How long connecting may take."),
  maxConnections: z
    .int({ error: "expected a whole number from 1 to 100000" })
    .min(1, { error: "expected a whole number from 1 to 100000" })
    .max(100_000, { error: "expected a whole number from 1 to 100000" })
    .prefault(10_000)
    .describe("Connections that the builtin client keeps open; beyond it the one unused for longest is closed."),
});

const Sync = z.strictObject({
  concurrency: z
    .int({ error: "expected a whole number from 1 to 10000" })
    .min(1, { error: "expected a whole number from 1 to 10000" })
    .max(10_000, { error: "expected a whole number from 1 to 10000" })
    .prefault(64)
    .describe(
      "Hosts worked on at a time. From 4 on a host that takes longer than 3 s makes room for another, so that up to twice as many are.",
    ),
  timeout: duration({ min: SECOND, max: DAY }).prefault("5m").describe("Wall clock for one host."),
  owner: account.prefault("root").describe("Owner of files when .gitattributes says nothing."),
  group: account.prefault("root").describe("Group of files when .gitattributes says nothing."),
  prune: z.boolean().prefault(true).describe("Remove from hosts what is removed in Git."),
  maxDeletePercent: percent
    .prefault(20)
    .describe("A change that deletes more of an app's files than this is held; 100 deletes everything asked."),
});

const glob = z
  .string({ error: "expected a glob" })
  .refine((text) => globMistake(text) === undefined, { error: ({ input }) => globMistake(String(input))! })
  .meta({ pattern: "^([^\\s/].*|/+[^\\s/].*)$" });

const Drift = z.strictObject({
  interval: duration({ min: SECOND, max: 30 * DAY, orZero: true })
    .prefault("1h")
    .describe("How often each host's files are compared with what was synced; 0s: only when asked for."),
  action: z
    .enum(["report", "heal"], { error: "expected report or heal" })
    .prefault("report")
    .describe("report: say what somebody else changed. heal: also lay the file of Git over it."),
  concurrency: z
    .int({ error: "expected a whole number from 1 to 1000" })
    .min(1, { error: "expected a whole number from 1 to 1000" })
    .max(1000, { error: "expected a whole number from 1 to 1000" })
    .prefault(8)
    .describe("Hosts compared at a time; at most half of sync.concurrency."),
  ignore: z
    .array(glob, { error: "expected a list of globs" })
    .prefault([])
    .describe(
      "Files that may differ: globs over paths on the host (`/etc/ssl/**`); one without a slash is for names, a folder means all below it. A commit still lays over them.",
    ),
  keep: z
    .int({ error: "expected a whole number from 0 to 100" })
    .min(0, { error: "expected a whole number from 0 to 100" })
    .max(100, { error: "expected a whole number from 0 to 100" })
    .prefault(5)
    .describe("Versions of a hand-edited file that are kept on the host when it is laid over; 0: none."),
});

const ConfigRepoSpec = z.strictObject({
  git: Git.describe("The repo that says what hosts shall look like."),
  layout: Layout.prefault({}).describe("How the repo is laid out besides mod/env/app."),
  inventory: Inventory.describe("Which hosts run which app; exactly one of http, httpSD, file, static."),
  ssh: Ssh.prefault({}).describe("How hosts are reached."),
  sync: Sync.prefault({}).describe("How hosts are synced."),
  drift: Drift.prefault({}).describe("What is done about files that somebody changed on a host."),
  suspend: z.boolean().prefault(false).describe("true stops all work on this repo; nothing else changes."),
});

/** `metadata` of Kubernetes is accepted as it is, so that one document serves both ways to run. */
const Metadata = z.strictObject({
  name: z
    .string({ error: "expected a name" })
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, {
      error: "expected a DNS label: at most 63 lower-case letters, digits and dashes",
    })
    .describe("Name of the repo in every output; it becomes a folder below --data-dir."),
  namespace: z.string().optional().describe("For Kubernetes only."),
  labels: z.record(z.string(), z.string()).optional().describe("For Kubernetes only."),
  annotations: z.record(z.string(), z.string()).optional().describe("For Kubernetes only."),
});

/** One repo and its hosts: the document of the design with every default filled in; durations in milliseconds. */
export const ConfigRepo = z
  .strictObject({
    $schema: z.string().optional().describe("For editors; ignored."),
    apiVersion: z.literal("fssync.dev/v1alpha1").describe("Version of this document."),
    kind: z.literal("ConfigRepo").describe("Kind of this document."),
    metadata: Metadata.describe("Name of the repo."),
    spec: ConfigRepoSpec.describe("What to sync from where to where, and how."),
  })
  .describe("A Git repo whose files fssync keeps on hosts.");
export type ConfigRepo = z.output<typeof ConfigRepo>;

/** What git takes for a part of `name <email>`. */
function nameOfAuthor(expectation: string) {
  // oxlint-disable-next-line no-control-regex
  return z.string({ error: expectation }).regex(/^[^<>\x00-\x1f\x7f]{1,200}$/, { error: expectation });
}

function httpUrl(rules: { placeholders: boolean }) {
  return z.string({ error: "expected a URL" }).refine((text) => httpUrlMistake(text, rules) === undefined, {
    error: ({ input }) => httpUrlMistake(String(input), rules)!,
  });
}

function checkJmesPath(expression: string, context: z.RefinementCtx): void {
  try {
    compile(expression);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    context.addIssue({ code: "custom", message: `expected a JMESPath expression (${why.split("\n")[0]})` });
  }
}

/** The rules of git check-ref-format that matter for one branch name. */
function isBranchName(name: string): boolean {
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f~^:?*[\\]/.test(name)) return false;
  if (name.startsWith("-") || name.endsWith(".") || name === "@") return false;
  if (name.includes("..") || name.includes("@{")) return false;
  return name.split("/").every((segment) => segment !== "" && !segment.startsWith(".") && !segment.endsWith(".lock"));
}
