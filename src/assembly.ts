import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Logger } from "pino";
import { systemClock } from "./clock/system-clock.ts";
import type { ConfigRepo } from "./config/schema.ts";
import { SecretsFolder } from "./config/secrets-folder.ts";
import { createInventory } from "./inventory/create-inventory.ts";
import type { GitSource } from "./ports/git-source.ts";
import type { Inventory } from "./ports/inventory.ts";
import type { Secrets } from "./ports/secrets.ts";
import type { StatusStore } from "./ports/status-store.ts";
import type { Transport } from "./ports/transport.ts";
import { Metrics } from "./metrics/metrics.ts";
import { Controller } from "./reconcile/controller.ts";
import { RepoController } from "./reconcile/repo-controller.ts";
import { GitMirrorSource } from "./source/git-source.ts";
import { lockDataDir } from "./store/data-dir-lock.ts";
import { SqliteStatusStore } from "./store/sqlite-status-store.ts";
import { OpenSshTransport } from "./transport/openssh-transport.ts";
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
  readonly controlSocket: string;
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
  const dataDir = resolve(places.dataDir);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  made.use(await lockDataDir(dataDir));
  const runDir = runtimeDir(dataDir);
  await prepareRuntimeDir(runDir);
  const clock = systemClock;
  const store = made.use(new SqliteStatusStore({ file: join(dataDir, "state.db"), clock, log }));
  await store.open();
  const metrics = new Metrics({ clock, version });
  const repos = configs.map((config) => {
    const repoLog = log.child({ repo: config.metadata.name });
    const parts = assembleRepo(config, { ...places, dataDir, runDir, log: repoLog, made });
    return assembleController(config, parts, { store, metrics, log: repoLog, retry });
  });
  const controller = made.use(new Controller({ repos, store, clock }));
  const stack = made.move();
  return {
    controller,
    metrics,
    controlSocket: join(runDir, "control.sock"),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

interface Parts {
  readonly source: GitSource;
  readonly inventory: Inventory;
  readonly transport: Transport;
}

function assembleRepo(
  config: ConfigRepo,
  places: Places & { runDir: string; log: Logger; made: AsyncDisposableStack },
): Parts {
  const { metadata, spec } = config;
  const { made, log } = places;
  const dir = join(places.dataDir, "repos", metadata.name);
  const secrets = new SecretsFolder({ folder: resolve(places.secretsDir) });
  const source = made.use(assembleSource(config, { ...places, dir }));
  const inventory = made.use(
    createInventory(withFileBeside(spec.inventory, places.file), {
      dir,
      secrets,
      clock: systemClock,
      log,
      defaults: { user: spec.ssh.user, port: spec.ssh.port },
    }),
  );
  const { hostKeys, sudo, connectTimeout, secretRef } = spec.ssh;
  const transport = made.use(
    new OpenSshTransport({
      dir: join(dir, "ssh"),
      socketDir: join(places.runDir, shortName(metadata.name)),
      secret: reader(secrets, secretRef),
      hostKeys,
      sudo,
      connectTimeout,
      launcher: LAUNCHER,
      clock: systemClock,
      log,
    }),
  );
  return { source, inventory, transport };
}

/** The Git source alone: all that `validate` needs. */
export function assembleSource(
  { spec }: ConfigRepo,
  places: Pick<Places, "secretsDir" | "allowFileUrls"> & { dir: string; log: Logger },
): GitMirrorSource {
  const { url, branch, timeout, secretRef } = spec.git;
  const { owner, group } = spec.sync;
  return new GitMirrorSource({
    url,
    branch,
    timeout,
    allowFileUrls: places.allowFileUrls,
    dir: places.dir,
    common: spec.layout.common,
    owner,
    group,
    secret: reader(new SecretsFolder({ folder: resolve(places.secretsDir) }), secretRef),
    clock: systemClock,
    log: places.log,
  });
}

function assembleController(
  { metadata, spec }: ConfigRepo,
  parts: Parts,
  common: { store: StatusStore; metrics: Metrics; log: Logger; retry: boolean },
): RepoController {
  const { concurrency, timeout, prune, maxDeletePercent } = spec.sync;
  return new RepoController({
    ...parts,
    ...common,
    repo: metadata.name,
    gitInterval: spec.git.interval,
    inventoryInterval: spec.inventory.interval,
    concurrency,
    hostTimeout: timeout,
    prune: { prune, maxDeletePercent },
    suspend: spec.suspend,
    telemetry: common.metrics.forRepo(metadata.name),
    clock: systemClock,
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
