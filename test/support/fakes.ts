import { pino, type Logger } from "pino";
import type { AppId, AppKey } from "../../src/model/app.ts";
import { FssyncError } from "../../src/model/errors.ts";
import type { Host, HostKey } from "../../src/model/host.ts";
import type { DesiredApp, Manifest } from "../../src/model/manifest.ts";
import { revision, type Revision } from "../../src/model/revision.ts";
import type { BaseApp, CommitInfo, Discovery, GitSource } from "../../src/ports/git-source.ts";
import type { Inventory, InventoryAnswer, InventoryProblem } from "../../src/ports/inventory.ts";
import type {
  FleetObservation,
  RepoTelemetry,
  SyncResult,
  VerifyResult,
  WebhookResult,
} from "../../src/ports/telemetry.ts";
import type {
  Applied,
  FileFact,
  FoundReplaced,
  HostChange,
  InspectedFile,
  PreparedChange,
  Transport,
  WorkOptions,
} from "../../src/ports/transport.ts";
import { noMetrics } from "../../src/queue/metrics.ts";
import { checksumOf, makeApp, objectId, type Files } from "./factories.ts";

/** Lets everything run that waits for nothing but promises: the fakes answer without timers. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise(setImmediate);
}

/** A log whose lines a test can read. */
export function recordedLog(): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { log: pino({ level: "debug", base: null }, { write }), lines };
}

/** A Git remote and its mirror in one; `push` is what people do, the rest is the port. */
export class FakeGitSource implements GitSource {
  readonly snapshotRoot = "/snapshots";
  /** Thrown once by the next poll. */
  nextError: FssyncError | null = null;
  /** Thrown by every poll while set. */
  error: FssyncError | null = null;
  pinError: FssyncError | null = null;
  /** Trees that cannot be made ready. */
  readonly broken = new Map<string, FssyncError>();
  /** Commits that the mirror does not hold any more. */
  readonly lost = new Set<string>();
  polls = 0;
  readonly materialized: string[] = [];
  readonly pinned = new Set<string>();
  readonly lookups: string[] = [];
  /** Sizes of blobs; of any other it is 1000. */
  readonly bytes = new Map<string, number>();
  readonly collected: { trees: ReadonlySet<string>; commits: ReadonlySet<string> }[] = [];
  #head: string | null = null;
  #fetched: string | null = null;
  readonly #discoveries = new Map<string, Discovery>();

  /** A commit with these apps and no others; returns its revision. */
  push(apps: Readonly<Record<string, Files | DesiredApp>>): Revision {
    const commit = objectId(`commit ${this.#discoveries.size + 1}`);
    const at = revision("main", commit);
    const made = Object.entries(apps).map(([key, app]): [AppKey, DesiredApp] => [
      key as AppKey,
      isApp(app) ? { ...app, revision: at } : makeApp(key as AppKey, app, { revision: at }),
    ]);
    this.#discoveries.set(commit, { commit, revision: at, apps: new Map(made), warnings: [] });
    this.#head = commit;
    return at;
  }

  async poll(): Promise<string> {
    this.polls += 1;
    const error = this.nextError ?? this.error;
    this.nextError = null;
    if (error) throw error;
    if (this.#head === null) throw new FssyncError("BranchMissing", "no commit yet");
    return (this.#fetched = this.#head);
  }

  async head(): Promise<string | null> {
    return this.#fetched;
  }

  async discover(commit: string): Promise<Discovery> {
    const discovery = this.#discoveries.get(commit)!;
    if (discovery.apps.size === 0) throw new FssyncError("EmptyTree", "the commit holds no app");
    return discovery;
  }

  async appAt(app: AppKey, commit: string): Promise<BaseApp | null> {
    this.lookups.push(`${app}@${commit}`);
    const found = this.lost.has(commit) ? undefined : this.#discoveries.get(commit)?.apps.get(app);
    return found ? { digest: found.digest, manifest: found.manifest } : null;
  }

  async folderAt(folder: AppKey, commit: string): Promise<Manifest | null> {
    return (await this.appAt(folder, commit))?.manifest ?? null;
  }

  async materialize(trees: Iterable<string>): Promise<void> {
    for (const tree of trees) {
      const error = this.broken.get(tree);
      if (error) throw error;
      this.materialized.push(tree);
    }
  }

  /** Of a blob that a test made of text, `checksumOf` the blob's id: no real content stands behind it. */
  async checksums(blobs: Iterable<string>): Promise<ReadonlyMap<string, string>> {
    return new Map([...blobs].map((blob) => [blob, checksumOf(blob)]));
  }

  async sizes(blobs: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    return new Map([...blobs].map((blob) => [blob, this.bytes.get(blob) ?? 1000]));
  }

  async content(blob: string): Promise<Buffer | null> {
    return Buffer.from(`content of ${blob}\n`);
  }

  async *read(blobs: Iterable<string>): AsyncGenerator<Buffer, void, undefined> {
    for (const blob of blobs) yield (await this.content(blob))!;
  }

  async contains(commit: string): Promise<boolean> {
    return this.#discoveries.has(commit) && !this.lost.has(commit);
  }

  /** Every commit that holds the app, the newest first. */
  async history(app: AppKey, limit: number): Promise<readonly CommitInfo[]> {
    const holding = [...this.#discoveries.values()].filter(({ apps }) => apps.has(app)).toReversed();
    return holding.slice(0, limit).map(({ commit, revision: at }) => ({
      commit,
      revision: at,
      author: "A <a@example.com>",
      at: 0,
      subject: commit,
    }));
  }

  async pin(commits: Iterable<string>): Promise<void> {
    if (this.pinError) throw this.pinError;
    for (const commit of commits) this.pinned.add(commit);
  }

  async collect(keep: { trees: ReadonlySet<string>; commits: ReadonlySet<string> }): Promise<void> {
    this.collected.push(keep);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A CMDB. `set` says who runs what; apps in `silent` do not answer. */
export class FakeInventory implements Inventory {
  refreshes = 0;
  nextError: Error | null = null;
  problems: InventoryProblem[] = [];
  readonly silent = new Set<AppKey>();
  /** Whether an earlier run left its answer. */
  remembers = false;
  readonly #hosts = new Map<AppKey, readonly Host[]>();
  #changed: () => void = () => {};

  set(app: string, hosts: readonly Host[]): void {
    this.#hosts.set(app as AppKey, hosts);
  }

  /** As when a file was written. */
  tell(): void {
    this.#changed();
  }

  async refresh(apps: readonly AppId[]): Promise<InventoryAnswer> {
    this.refreshes += 1;
    const error = this.nextError;
    this.nextError = null;
    if (error) throw error;
    return this.#answer(apps);
  }

  async lastGood(apps: readonly AppId[]): Promise<InventoryAnswer | null> {
    return this.remembers ? this.#answer(apps) : null;
  }

  adopt(): void {}

  watch(changed: () => void): Disposable {
    this.#changed = changed;
    return { [Symbol.dispose]: () => void (this.#changed = () => {}) };
  }

  #answer(apps: readonly AppId[]): InventoryAnswer {
    const keys = apps.map(({ mod, env, app }): AppKey => `${mod}/${env}/${app}`);
    const asked = keys.filter((key) => !this.silent.has(key));
    const silent = keys
      .filter((key) => this.silent.has(key))
      .map((app) => ({ reason: "InventoryFailed", app, message: `${app} did not answer` }) as const);
    return {
      hosts: new Map(asked.map((key) => [key, this.#hosts.get(key) ?? []])),
      problems: [...this.problems, ...silent],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

export interface AppliedChange {
  readonly host: HostKey;
  readonly change: HostChange;
  readonly timeout: number;
}

/** Hosts that take everything, unless a test says otherwise. */
export class FakeTransport implements Transport {
  connections = 0;
  readonly prepared: HostChange[] = [];
  disposed = 0;
  nextPrepareError: FssyncError | null = null;
  /** Why an app does not arrive on a host; asked at the end of each apply. */
  refuses: (host: HostKey, app: AppKey) => FssyncError | null = () => null;
  /** Why a host gets plain rsync. */
  readonly fallbacks = new Map<HostKey, string>();
  /** Apps of which apply says nothing. */
  readonly forgets = new Set<AppKey>();
  /** Called as an apply begins. */
  onApply: (host: Host) => void = () => {};
  /** What lies on a host, by path: for `inspect`, and for what `apply` finds changed. Nothing is there unless a test says so. */
  readonly facts = new Map<HostKey, Map<string, FileFact>>();
  readonly contents = new Map<string, Buffer>();
  readonly inspections: { readonly host: HostKey; readonly paths: readonly string[] }[] = [];
  readonly reads: { readonly host: HostKey; readonly paths: readonly string[] }[] = [];
  /** Why a host cannot be looked at. */
  inspectError: (host: HostKey) => FssyncError | null = () => null;
  /** In the order in which they began. */
  readonly applies: AppliedChange[] = [];
  /** Hosts being worked on, with how many applies. */
  readonly running = new Map<HostKey, number>();
  mostAtOnce = 0;
  mostPerHost = 0;
  readonly #gates = new Map<HostKey, PromiseWithResolvers<void>>();

  /** Applies to this host do not end before `release`. */
  hold(host: HostKey): void {
    this.#gates.set(host, Promise.withResolvers());
  }

  release(host: HostKey): void {
    this.#gates.get(host)?.resolve();
    this.#gates.delete(host);
  }

  appliesTo(host: HostKey): AppliedChange[] {
    return this.applies.filter((apply) => apply.host === host);
  }

  async prepare(change: HostChange): Promise<PreparedChange> {
    const error = this.nextPrepareError;
    this.nextPrepareError = null;
    if (error) throw error;
    this.prepared.push(change);
    return { change, [Symbol.asyncDispose]: async () => void (this.disposed += 1) };
  }

  async apply(host: Host, { change }: PreparedChange, { timeout, signal }: WorkOptions): Promise<Applied> {
    const { key } = host;
    this.applies.push({ host: key, change, timeout });
    this.#count(key, 1);
    this.onApply(host);
    const gate = this.#gates.get(key);
    if (gate) await Promise.race([gate.promise, aborted(signal)]);
    this.#count(key, -1);
    const apps = change.apps.filter(({ app }) => !this.forgets.has(app));
    const outcome = new Map(
      apps.map(({ app }) => [
        app,
        signal.aborted ? new FssyncError("Interrupted", "told to stop") : this.refuses(key, app),
      ]),
    );
    const replaced = new Map(apps.map(({ app }) => [app, this.#replacedBy(key, change, app)]));
    const fallback = this.fallbacks.get(key);
    return { outcome, replaced, ...(fallback === undefined ? {} : { fallback }) };
  }

  async inspect(host: Host, files: readonly InspectedFile[]): Promise<readonly FileFact[]> {
    this.inspections.push({ host: host.key, paths: files.map(({ path }) => path) });
    const { key } = host;
    this.#count(key, 1);
    const gate = this.#gates.get(key);
    if (gate) await gate.promise;
    this.#count(key, -1);
    const error = this.inspectError(key);
    if (error) throw error;
    return files.map(({ path }) => this.facts.get(key)?.get(path) ?? { kind: "missing" });
  }

  async read(host: Host, paths: readonly string[]): Promise<readonly (Buffer | null)[]> {
    this.reads.push({ host: host.key, paths });
    return paths.map((path) => this.contents.get(`${host.key} ${path}`) ?? null);
  }

  #replacedBy(host: HostKey, change: HostChange, app: AppKey): FoundReplaced[] {
    const known = change.apps.find((each) => each.app === app)?.replaces ?? [];
    return known.flatMap(({ path, checksums }) => {
      const fact = this.facts.get(host)?.get(path);
      const edited =
        fact && fact.kind !== "missing" && !("checksum" in fact && checksums.includes(fact.checksum ?? ""));
      return edited ? [{ path, ...(change.keepVersions ? { kept: `/kept/${path}` } : {}) }] : [];
    });
  }

  #count(host: HostKey, by: 1 | -1): void {
    const running = (this.running.get(host) ?? 0) + by;
    if (running === 0) this.running.delete(host);
    else this.running.set(host, running);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.running.size);
    this.mostPerHost = Math.max(this.mostPerHost, running);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Numbers that go nowhere but into the test. */
export class SilentTelemetry implements RepoTelemetry {
  readonly queue = noMetrics;
  readonly fetches: string[] = [];
  readonly refreshes: string[] = [];
  readonly syncs: SyncResult[] = [];
  readonly propagations: number[] = [];
  fleet: FleetObservation | null = null;

  fetched(result: "success" | "failure"): void {
    this.fetches.push(result);
  }

  inventoryRefreshed(result: "success" | "failure"): void {
    this.refreshes.push(result);
  }

  synced(result: SyncResult): void {
    this.syncs.push(result);
  }

  readonly verifications: VerifyResult[] = [];
  replacedFiles = 0;

  verified(result: VerifyResult): void {
    this.verifications.push(result);
  }

  replaced(files: number): void {
    this.replacedFiles += files;
  }

  readonly webhooks: WebhookResult[] = [];

  webhook(result: WebhookResult): void {
    this.webhooks.push(result);
  }

  propagated(seconds: number): void {
    this.propagations.push(seconds);
  }

  observe(fleet: FleetObservation): void {
    this.fleet = fleet;
  }

  [Symbol.dispose](): void {}
}

function isApp(app: Files | DesiredApp): app is DesiredApp {
  return "manifest" in app && Array.isArray(app.manifest);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
