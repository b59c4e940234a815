import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { ResourceKind } from "../config/resources.ts";
import type { ConfigRepo } from "../config/schema.ts";
import { appId, type AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { Clock } from "../ports/clock.ts";
import type { Events } from "../ports/events.ts";
import type { Secrets } from "../ports/secrets.ts";
import type { SuspendedTarget } from "../ports/suspender.ts";
import type { RepoController } from "../reconcile/repo-controller.ts";
import type { KubeClient } from "./client.ts";
import { configAppName, type RepoRef } from "./objects.ts";
import { Publisher } from "./publisher.ts";
import { RepoEvents, type EventSink } from "./repo-events.ts";
import { Resyncs, type Asked } from "./resyncs.ts";
import { WatchedSecrets } from "./secrets.ts";
import type { KubernetesStatusStore } from "./store/status-store.ts";
import type { StatusWriter } from "./store/status-writer.ts";
import type { Below } from "./watched-objects.ts";
import type { Watched, WatchedRepo } from "./watched.ts";

/** A repo with all its parts, made by the composition root. */
export interface BuiltRepo extends AsyncDisposable {
  readonly controller: RepoController;
  /** Where everything is told that happens to the repo. */
  readonly events: Events;
  /** See `Transport.allow`. */
  allow(milliseconds: number): void;
}

export type BuildRepo = (name: string, config: ConfigRepo, parts: { secrets: Secrets; events: Events }) => BuiltRepo;

export interface RunningRepoOptions {
  /** Name in log, metrics and store. */
  readonly name: string;
  readonly repo: WatchedRepo;
  readonly config: ConfigRepo;
  readonly below: Below;
  readonly build: BuildRepo;
  readonly client: KubeClient;
  readonly store: KubernetesStatusStore;
  readonly writer: StatusWriter;
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One ConfigRepo that is worked on: its controller, and what goes between it and the custom resources. */
export class RunningRepo implements AsyncDisposable {
  readonly config: ConfigRepo;
  readonly built: BuiltRepo;
  #repo: WatchedRepo;
  readonly #options: RunningRepoOptions;
  readonly #secrets: WatchedSecrets;
  readonly #publisher: Publisher;
  readonly #resyncs: Resyncs;
  readonly #end = new AbortController();
  readonly #loaded = Promise.withResolvers<void>();
  #published: Promise<void> = Promise.resolve();

  constructor(options: RunningRepoOptions) {
    const { repo, config, client, clock, log, sink, name, store } = options;
    this.#options = options;
    this.#repo = repo;
    this.config = config;
    store.register(name, repo.ref);
    const { apps, hosts } = options.below;
    const uidOf = (object: string) => (apps.get(object) ?? hosts.get(object))?.uid;
    const inKubernetes = new RepoEvents({ repo: repo.ref, uidOf, sink });
    const { namespace } = repo.ref;
    const changed = (secret: string) => {
      log.info({ secret }, "a Secret has changed");
      this.controller.lookAgain();
    };
    this.#secrets = new WatchedSecrets({ client, namespace, changed, clock, log });
    this.built = options.build(name, config, { secrets: this.#secrets, events: inKubernetes });
    const { controller, events } = this.built;
    this.#publisher = this.#makePublisher(events);
    const handled = ({ ref, token }: Asked) =>
      this.#write(options.writer.write(ref, { lastHandledReconcileAt: token }));
    this.#resyncs = new Resyncs({ controller, events, handled, clock, log });
  }

  get controller(): RepoController {
    return this.built.controller;
  }

  get ref(): RepoRef {
    return this.#repo.ref;
  }

  async start(): Promise<void> {
    await this.controller.load();
    this.#loaded.resolve();
    if (this.#end.signal.aborted) return;
    this.look(this.#repo);
    this.controller.start(this.#end.signal);
    this.#published = this.#publisher.run(this.#end.signal);
  }

  /** Whether the repo may go on under this specification; suspending is all that can change on the way. */
  suits({ spec }: ConfigRepo): boolean {
    return isDeepStrictEqual({ ...spec, suspend: false }, { ...this.config.spec, suspend: false });
  }

  /** Takes in what people ask of the repo and of what lies below it. */
  look(repo: WatchedRepo): void {
    this.#repo = repo;
    const { apps, hosts } = this.#options.below;
    const { repo: whole } = this.controller;
    const said: SuspendedTarget[] = repo.suspend ? [{ repo: whole, ...repo.suspended }] : [];
    const stopped = { repo: repo.suspend, apps: new Set<AppKey>(), hosts: new Set<string>(), said };
    const asked: Asked[] = [];
    const { namespace } = repo.ref;
    const ask = (kind: ResourceKind, one: Watched, below: Pick<Asked, "app" | "host"> = {}) => {
      const { name, uid, requestedAt: token, handled } = one;
      if (token) asked.push({ ref: { kind, namespace, name }, uid, token, handled, ...below });
    };
    ask("ConfigRepo", repo);
    for (const one of apps.values()) {
      if (one.suspend) said.push({ repo: whole, app: one.app, ...one.suspended });
      if (one.suspend) stopped.apps.add(one.app);
      ask("ConfigApp", one, { app: one.app });
    }
    for (const one of hosts.values()) {
      if (one.suspend) said.push({ repo: whole, host: one.host, ...one.suspended });
      if (one.suspend) stopped.hosts.add(one.host);
      ask("ConfigHost", one, { host: one.host });
    }
    this.controller.suspend(stopped);
    this.#dropAbsent();
    this.#resyncs.take(asked, this.#end.signal);
  }

  /** A host that left the inventory while it was suspended has kept its object: once it is not, that goes too. */
  #dropAbsent(): void {
    const { fleet, known } = this.controller;
    const kept = [...this.#options.below.hosts.values()].filter(({ host, suspend }) => !suspend && !fleet.has(host));
    if (known && kept.length > 0) void this.controller.storeAgain({ hosts: kept.map(({ host }) => host) });
  }

  /** Makes the object of an app again that somebody has deleted, with all that it said. */
  async restoreApp(app: AppKey): Promise<void> {
    await this.#loaded.promise;
    if (this.#end.signal.aborted || !this.controller.fleet.desired.has(app)) return;
    await this.controller.storeAgain({ apps: [app] });
    this.#publisher.publishAgain(app);
  }

  /** The same of a host. */
  async restoreHost(host: HostKey): Promise<void> {
    await this.#loaded.promise;
    if (this.#end.signal.aborted) return;
    if (this.controller.fleet.hosts.has(host)) await this.controller.storeAgain({ hosts: [host] });
  }

  /** Ends the syncs under way; what they brought so far is known to the store as unfinished. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    this.#loaded.resolve();
    // First: a poll may wait for a Secret.
    await this.#secrets[Symbol.asyncDispose]();
    await this.built[Symbol.asyncDispose]();
    await this.#published;
    await this.#resyncs.ended();
  }

  #makePublisher(events: Events): Publisher {
    const { writer, store, name, below, clock, repo } = this.#options;
    const { namespace } = repo.ref;
    const appName = (app: AppKey) => configAppName(repo.ref.name, appId(app));
    return new Publisher({
      controller: this.controller,
      generation: (app) => (app === undefined ? this.#repo.generation : below.apps.get(appName(app))?.generation),
      before: { repo: repo.status, app: (app) => below.apps.get(appName(app))?.status },
      writeRepo: (status) => this.#write(writer.write({ kind: "ConfigRepo", ...repo.ref }, status)),
      writeApp: (app, status) =>
        this.#write(writer.write({ kind: "ConfigApp", namespace, name: appName(app) }, status)),
      restate: (hosts) => store.restate(name, hosts),
      events,
      clock,
    });
  }

  /** Nothing waits for it: what cannot be written is tried again by the writer, and said there. */
  #write(written: Promise<void>): void {
    written.catch((err: unknown) => this.#options.log.debug({ err }, "status not written"));
  }
}
