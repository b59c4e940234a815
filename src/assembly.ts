import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Logger } from "pino";
import { systemClock } from "./clock/system-clock.ts";
import type { ConfigRepo } from "./config/schema.ts";
import { SecretsFolder } from "./config/secrets-folder.ts";
import { createInventory } from "./inventory/create-inventory.ts";
import type { Events } from "./ports/events.ts";
import type { GitEditor } from "./ports/git-editor.ts";
import type { GitSource } from "./ports/git-source.ts";
import type { Inventory } from "./ports/inventory.ts";
import type { Secrets } from "./ports/secrets.ts";
import type { StatusStore } from "./ports/status-store.ts";
import type { SuspensionStore } from "./ports/suspender.ts";
import type { Transport } from "./ports/transport.ts";
import { Metrics } from "./metrics/metrics.ts";
import { Controller } from "./reconcile/controller.ts";
import type { DriftOptions } from "./reconcile/drift-options.ts";
import { Operations } from "./reconcile/operations.ts";
import { RecentEvents } from "./reconcile/recent-events.ts";
import { StoredSuspender, suspendedBy, type KnownSuspensions } from "./reconcile/stored-suspender.ts";
import type { Suspended } from "./reconcile/suspension.ts";
import type { SiteDesk } from "./http/site.ts";
import { globs } from "./config/globs.ts";
import { RepoController } from "./reconcile/repo-controller.ts";
import type { Hook } from "./reconcile/webhooks.ts";
import { GitMirrorSource } from "./source/git-source.ts";
import { lockDataDir } from "./store/data-dir-lock.ts";
import { SqliteStatusStore } from "./store/sqlite-status-store.ts";
import { RsyncTransport } from "./transport/rsync-transport.ts";
import { prepareRuntimeDir, runtimeDir, shortName } from "./runtime-dir.ts";

/** Beside this file, in src and in dist. */
const LAUNCHER = new URL(import.meta.url.replace(/assembly(\.\w+)$/, "launcher-main$1"));

/** What the command line and the environment say about where things are. */
export interface Places {
  readonly file: string;
  readonly dataDir: string;
  readonly secretsDir: string;
  readonly allowFileUrls: boolean;
}

export interface Assembly extends AsyncDisposable {
  readonly controller: Controller;
  readonly metrics: Metrics;
  /** For the HTTP API. */
  readonly desk: SiteDesk;
  readonly controlSocket: string;
  /** Removes from the store the repos that are not configured any more. Returns their names; their hosts keep their files. */
  forgetOthers(): Promise<string[]>;
}

/**
 * Builds the standalone program: everything is made here, nothing is started. Disposing ends it in
 * the opposite order. Throws DataDirInUse, InvalidSpec, StoreCorrupt.
 */
export async function assemble(
  configs: readonly ConfigRepo[],
  places: Places,
  { log, version, retry }: { log: Logger; version: string; retry: boolean },
): Promise<Assembly> {
  await using made = new AsyncDisposableStack();
  const clock = systemClock;
  const { dataDir, runDir } = made.use(await openDataDir(places.dataDir));
  const secrets = new SecretsFolder({ folder: resolve(places.secretsDir) });
  const store = made.use(new SqliteStatusStore({ file: join(dataDir, "state.db"), clock, log }));
  await store.open();
  const metrics = new Metrics({ clock, version });
  metrics.leader(true);
  const events = new RecentEvents({ clock });
  const suspensions = await knownSuspensions(configs, store);
  const repos = configs.map((config) => {
    const name = config.metadata.name;
    const suspended = suspendedBy(
      name,
      suspensions.stored.filter(({ repo }) => repo === name),
      config.spec.suspend,
    );
    const common = { ...places, name, dataDir, runDir, secrets, log: log.child({ repo: name }) };
    return made.use(assembleRepo(config, { ...common, suspended, store, metrics, retry, events: events.forRepo(name) }))
      .controller;
  });
  const controller = made.use(new Controller({ repos, clock }));
  const operations = made.use(new Operations({ controller, clock }));
  const suspender = new StoredSuspender({ controller, store, clock, ...suspensions });
  const stack = made.move();
  return {
    controller,
    metrics,
    desk: { controller, operations, events, suspender },
    controlSocket: join(runDir, CONTROL_SOCKET),
    forgetOthers: () => forgetOthers(store, new Set(repos.map(({ repo }) => repo))),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export const CONTROL_SOCKET = "control.sock";

/** The data dir, made and locked, and the folder for sockets that belongs to it. Throws DataDirInUse. */
export async function openDataDir(dir: string): Promise<{ dataDir: string; runDir: string } & AsyncDisposable> {
  const dataDir = resolve(dir);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await using made = new AsyncDisposableStack();
  made.use(await lockDataDir(dataDir));
  const runDir = runtimeDir(dataDir);
  await prepareRuntimeDir(runDir);
  const stack = made.move();
  return { dataDir, runDir, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Before anything is made that could sync. */
async function knownSuspensions(configs: readonly ConfigRepo[], store: SuspensionStore): Promise<KnownSuspensions> {
  const stored = await Promise.all(configs.map(({ metadata }) => store.suspensions(metadata.name)));
  const configured = configs.filter(({ spec }) => spec.suspend).map(({ metadata }) => metadata.name);
  return { configured: new Set(configured), stored: stored.flat() };
}

async function forgetOthers(store: StatusStore, configured: ReadonlySet<string>): Promise<string[]> {
  const gone = (await store.repos()).filter((name) => !configured.has(name));
  await Promise.all(gone.map((name) => store.remove(name)));
  return gone;
}

/** What one repo is made with. */
export interface RepoSurroundings {
  /** Name of the repo in log, metrics and store; a folder below the data dir is called after it. */
  readonly name: string;
  /** The file that the document was read from; what it names relatively lies beside it. */
  readonly file: string;
  readonly dataDir: string;
  readonly runDir: string;
  readonly allowFileUrls: boolean;
  readonly secrets: Secrets;
  readonly store: StatusStore;
  readonly metrics: Metrics;
  readonly events?: Events;
  /** Where people have stopped work besides `spec.suspend`. */
  readonly suspended?: Suspended;
  readonly log: Logger;
  readonly retry: boolean;
  /** False where other processes work on the repo in turn; true unless given. */
  readonly alone?: boolean;
}

export interface AssembledRepo extends AsyncDisposable {
  readonly controller: RepoController;
  readonly transport: Transport;
}

/** One repo with all its parts. Disposing ends the syncs under way first. */
export function assembleRepo(config: ConfigRepo, around: RepoSurroundings): AssembledRepo {
  const made = new AsyncDisposableStack();
  const parts = assembleParts(config, around, made);
  const telemetry = made.use(around.metrics.forRepo(around.name));
  const { concurrency, timeout, prune, maxDeletePercent } = config.spec.sync;
  const controller = made.use(
    new RepoController({
      ...around,
      ...parts,
      repo: around.name,
      gitInterval: config.spec.git.interval,
      inventoryInterval: config.spec.inventory.interval,
      concurrency,
      hostTimeout: timeout,
      prune: { prune, maxDeletePercent },
      drift: driftOptions(config.spec),
      sudo: config.spec.ssh.sudo,
      suspend: config.spec.suspend,
      hook: hookOf(config.spec.git, around.secrets),
      telemetry,
      clock: systemClock,
    }),
  );
  return { controller, transport: parts.transport, [Symbol.asyncDispose]: () => made.disposeAsync() };
}

function hookOf({ branch, webhook }: ConfigRepo["spec"]["git"], secrets: Secrets): Hook {
  const secret = reader(secrets, webhook?.secretRef);
  return { branch, ...(webhook && { secretName: webhook.secretRef.name }), ...(secret && { secret }) };
}

/** As many checks at most as leave half of the workers to syncs. */
function driftOptions({ drift, sync }: ConfigRepo["spec"]): DriftOptions {
  const { interval, action, keep } = drift;
  const concurrency = Math.min(drift.concurrency, Math.max(1, Math.floor(sync.concurrency / 2)));
  return { interval, action, concurrency, keepVersions: keep, isIgnored: globs(drift.ignore) };
}

interface Parts {
  readonly source: GitSource;
  readonly editor: GitEditor;
  readonly inventory: Inventory;
  readonly transport: Transport;
}

function assembleParts({ spec }: ConfigRepo, around: RepoSurroundings, made: AsyncDisposableStack): Parts {
  const { log, secrets } = around;
  const dir = join(around.dataDir, "repos", around.name.replace("/", "."));
  const source = made.use(assembleSource(spec, { ...around, dir }));
  const inventory = made.use(
    createInventory(withFileBeside(spec.inventory, around.file), {
      // A disk that other processes do not share may hold an answer that is long out of date.
      dir: around.alone === false ? null : dir,
      secrets,
      clock: systemClock,
      log,
      defaults: { user: spec.ssh.user, port: spec.ssh.port },
    }),
  );
  const { client, hostKeys, sudo, connectTimeout, maxConnections, secretRef } = spec.ssh;
  const transport = made.use(
    new RsyncTransport({
      client,
      dir: join(dir, "ssh"),
      socketDir: join(around.runDir, shortName(around.name)),
      secret: reader(secrets, secretRef),
      secretName: secretRef?.name,
      hostKeys,
      sudo,
      connectTimeout,
      maxConnections,
      launcher: LAUNCHER,
      clock: systemClock,
      log,
    }),
  );
  return { source, editor: source.editor, inventory, transport };
}

/** The Git source alone: all that `validate` needs. */
export function assembleSource(
  spec: ConfigRepo["spec"],
  around: Pick<RepoSurroundings, "secrets" | "allowFileUrls" | "log"> & { dir: string },
): GitMirrorSource {
  const { url, branch, timeout, secretRef, author } = spec.git;
  const { owner, group } = spec.sync;
  return new GitMirrorSource({
    url,
    branch,
    timeout,
    allowFileUrls: around.allowFileUrls,
    dir: around.dir,
    common: spec.layout.common,
    owner,
    group,
    secret: reader(around.secrets, secretRef),
    secretName: secretRef?.name,
    author,
    clock: systemClock,
    log: around.log,
  });
}

function reader(secrets: Secrets, ref: { name: string } | undefined) {
  return ref && (() => secrets.read(ref.name));
}

/** A relative path in the document is meant from the document's own folder. */
function withFileBeside(inventory: ConfigRepo["spec"]["inventory"], document: string) {
  if (!inventory.file) return inventory;
  return { ...inventory, file: { path: resolve(dirname(document), inventory.file.path) } };
}
