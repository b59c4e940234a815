import type { Logger } from "pino";
import { describeMistake, type Mistake } from "../config/mistakes.ts";
import { parseConfigRepo, type Parsed } from "../config/parse.ts";
import type { ConfigRepo } from "../config/schema.ts";
import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { Clock } from "../ports/clock.ts";
import type { SuspendedTarget } from "../ports/suspender.ts";
import { noMetrics } from "../queue/metrics.ts";
import { Backoff } from "../queue/rate-limiter.ts";
import { RateLimitingQueue } from "../queue/rate-limiting-queue.ts";
import type { Controller } from "../reconcile/controller.ts";
import type { RepoController } from "../reconcile/repo-controller.ts";
import type { KubeClient } from "./client.ts";
import { GROUP, VERSION } from "./objects.ts";
import type { EventSink } from "./repo-events.ts";
import { invalidSpec } from "./repo-status.ts";
import { RunningRepo, type BuildRepo } from "./running-repo.ts";
import { repoSelector } from "./store/labels.ts";
import type { KubernetesStatusStore } from "./store/status-store.ts";
import type { StatusWriter } from "./store/status-writer.ts";
import { WatchedObjects } from "./watched-objects.ts";
import type { WatchedRepo } from "./watched.ts";

/** ConfigRepos that are started or changed at a time. */
const WORKERS = 4;

export interface SupervisorOptions {
  readonly client: KubeClient;
  /** The one to watch; null for all. */
  readonly namespace: string | null;
  readonly allowFileUrls: boolean;
  readonly build: BuildRepo;
  readonly store: KubernetesStatusStore;
  readonly writer: StatusWriter;
  readonly sink: EventSink;
  /** Gets the repos that run, for whoever asks it. */
  readonly controller: Controller;
  /** How long the transports may work from now on; no limit when absent. */
  readonly remaining?: () => number;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps a controller running for every ConfigRepo. Watches say "look" and put the repo's key into a queue;
 * a worker compares what is wanted with what runs, whatever the reason was.
 */
export class Supervisor implements AsyncDisposable {
  readonly #options: SupervisorOptions;
  readonly #objects: WatchedObjects;
  /** Also those that are being started. */
  readonly #running = new Map<string, RunningRepo>();
  /** ConfigRepos that are gone and whose objects are being removed. */
  readonly #forgetting = new Set<string>();
  readonly #queue: RateLimitingQueue<string>;
  readonly #end = new AbortController();
  #ended: Promise<unknown>[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { clock } = options;
    const backoff = new Backoff<string>({ clock, base: 1000, max: 60_000 });
    this.#queue = new RateLimitingQueue({ clock, metrics: noMetrics, backoff });
    this.#objects = new WatchedObjects({
      ...options,
      asked: (repo) => this.#queue.add(repo),
      appGone: ({ repo, app }) => void this.#running.get(repo)?.restoreApp(app),
      hostGone: ({ repo, host }) => void this.#running.get(repo)?.restoreHost(host),
    });
  }

  /** Reads what there is; resolves when every ConfigRepo was looked at once. Watches until it is disposed. */
  async start(): Promise<void> {
    const { signal } = this.#end;
    this.#ended.push(this.#objects.run(signal));
    await this.#objects.synced(signal);
    if (signal.aborted) return;
    for (const repo of this.#objects.orphaned) this.#queue.add(repo);
    const first = [...this.#objects.repos.keys()].map((repo) => this.#reconcile(repo));
    await Promise.all(first);
    for (let count = 0; count < WORKERS; count += 1) this.#ended.push(this.#work());
  }

  /** Whether people have stopped work on the app on this host; `repo` is the name in the store. */
  holds(repo: string, app: AppKey, host: HostKey): boolean {
    return this.#named(repo)?.suspension.holds(app, host) ?? false;
  }

  /** Whether people have stopped work on the host itself. */
  isSuspendedHost(repo: string, host: HostKey): boolean {
    return this.#named(repo)?.suspension.now.hosts.has(host) ?? false;
  }

  /** What people have suspended on the repos that run, or are about to. */
  suspended(): SuspendedTarget[] {
    const { awaited } = this.#options.controller;
    const keys = [...this.#objects.repos.keys()];
    return keys
      .filter((key) => this.#running.has(key) || awaited.has(this.#nameOf(key)))
      .flatMap((key) => {
        const { apps, hosts } = this.#objects.below(key);
        const repo = this.#nameOf(key);
        const whole = this.#objects.repos.get(key);
        return [
          ...(whole?.suspend ? [{ repo, ...whole.suspended }] : []),
          ...[...apps.values()].flatMap(({ suspend, suspended, app }) =>
            suspend ? [{ repo, app, ...suspended }] : [],
          ),
          ...[...hosts.values()].flatMap(({ suspend, suspended, host }) =>
            suspend ? [{ repo, host, ...suspended }] : [],
          ),
        ];
      });
  }

  /** Tells every transport how long it may work from now on. */
  allow(milliseconds: number): void {
    for (const { built } of this.#running.values()) built.allow(milliseconds);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await Promise.all([...this.#running.keys()].map((key) => this.#stop(key)));
    await this.#queue.shutDown();
    await Promise.all(this.#ended);
    // A worker may have been about to take one up.
    await Promise.all([...this.#running.keys()].map((key) => this.#stop(key)));
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.get(); key !== undefined; key = await this.#queue.get()) {
      await this.#reconcile(key);
      this.#queue.done(key);
    }
  }

  async #reconcile(key: string): Promise<void> {
    try {
      await this.#bringForward(key);
      this.#queue.forget(key);
    } catch (err) {
      if (this.#end.signal.aborted) return;
      this.#options.log.error({ err, repo: key }, "ConfigRepo not taken up, tried again");
      this.#queue.addRateLimited(key);
    }
  }

  async #bringForward(key: string): Promise<void> {
    if (this.#end.signal.aborted) return;
    const found = this.#objects.repos.get(key);
    const wanted = found?.deleting ? undefined : found;
    if (this.#running.get(key)?.ref.uid !== wanted?.ref.uid) await this.#stop(key, wanted);
    if (!wanted) return this.#forget(key);
    // It may have been told to end meanwhile.
    if (this.#end.signal.aborted) return;
    const parsed = this.#parse(wanted);
    const config = "config" in parsed ? parsed.config : undefined;
    if (!config || this.#running.get(key)?.suits(config) === false) await this.#stop(key, config);
    // After the last words of what ran under the specification before.
    if (!config) return this.#refuse(key, wanted, "mistakes" in parsed ? parsed.mistakes : []);
    const running = this.#running.get(key);
    if (running) running.look(wanted);
    else await this.#start(key, wanted, config);
  }

  #parse({ ref, spec }: WatchedRepo): Parsed {
    const { allowFileUrls } = this.#options;
    const document = { apiVersion: `${GROUP}/${VERSION}`, kind: "ConfigRepo", metadata: { name: ref.name }, spec };
    return parseConfigRepo(document, { allowFileUrls });
  }

  /** Says on the ConfigRepo that nobody can work by it. */
  #refuse(key: string, { ref, status, generation }: WatchedRepo, mistakes: readonly Mistake[]): void {
    const { controller, writer, clock, log } = this.#options;
    controller.forgo(this.#nameOf(key));
    const message = mistakes.map(describeMistake).join("\n");
    log.error({ repo: ref.name, namespace: ref.namespace, reason: "InvalidSpec", message }, "ConfigRepo is not valid");
    const conditions = invalidSpec(status.conditions, message, { now: clock.now(), generation });
    writer.write({ kind: "ConfigRepo", ...ref }, { conditions, problems: null }).catch(() => undefined);
  }

  async #start(key: string, repo: WatchedRepo, config: ConfigRepo): Promise<void> {
    const { controller, remaining, log } = this.#options;
    const name = this.#nameOf(key);
    const below = this.#objects.below(key);
    const running = new RunningRepo({ ...this.#options, name, repo, config, below, log: log.child({ repo: name }) });
    this.#running.set(key, running);
    if (remaining) running.built.allow(remaining());
    try {
      await running.start();
    } catch (error) {
      await this.#stop(key, config);
      throw error;
    }
    if (!this.#running.has(key)) return;
    controller.add(running.controller);
    log.info({ repo: name }, "ConfigRepo taken up");
  }

  #named(name: string): RepoController | undefined {
    const { namespace } = this.#options;
    return this.#running.get(namespace === null ? name : `${namespace}/${name}`)?.controller;
  }

  /** In log, metrics and store. */
  #nameOf(key: string): string {
    return this.#options.namespace === null ? key : key.slice(key.indexOf("/") + 1);
  }

  /** `next` is what it is to be started with again; until then it is awaited. */
  async #stop(key: string, next?: unknown): Promise<void> {
    const { controller } = this.#options;
    const running = this.#running.get(key);
    if (!running) return;
    if (next !== undefined) controller.await(this.#nameOf(key));
    this.#running.delete(key);
    controller.remove(running.controller);
    await running[Symbol.asyncDispose]();
  }

  /** Removes what belongs to a ConfigRepo that is gone. The files on the hosts stay. */
  #forget(key: string): void {
    this.#options.controller.forgo(this.#nameOf(key));
    const { apps, hosts } = this.#objects.below(key);
    if (apps.size + hosts.size === 0 || this.#forgetting.has(key)) return;
    this.#forgetting.add(key);
    const { writer, log } = this.#options;
    const [namespace = "", name = ""] = key.split("/");
    log.info({ repo: key, apps: apps.size, hosts: hosts.size }, "ConfigRepo is gone: its objects are removed");
    const selector = repoSelector(name);
    // It may take as long as the API server refuses it: nobody waits.
    void Promise.allSettled([
      writer.removeAll("ConfigApp", namespace, selector),
      writer.removeAll("ConfigHost", namespace, selector),
    ]).then(() => this.#forgetting.delete(key));
    this.#options.store.unregister(this.#nameOf(key));
  }
}
