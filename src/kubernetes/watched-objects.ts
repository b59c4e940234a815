import type { Logger } from "pino";
import { RESOURCES, type ResourceKind } from "../config/resources.ts";
import { orAborted } from "../ports/abort.ts";
import type { Clock } from "../ports/clock.ts";
import type { KubeClient } from "./client.ts";
import { Informer } from "./informer.ts";
import { appId } from "../model/app.ts";
import { parseHostText } from "../model/host.ts";
import { configAppName, configHostName, GROUP, VERSION, type ObjectRef, type Resource } from "./objects.ts";
import type { StatusWriter } from "./store/status-writer.ts";
import {
  asksOtherwise,
  isAnother,
  watchedApp,
  watchedHost,
  watchedRepo,
  type Watched,
  type WatchedApp,
  type WatchedHost,
  type WatchedRepo,
} from "./watched.ts";

/** What lies below one ConfigRepo; by the names of the objects. It stays the same object while it changes. */
export interface Below {
  readonly apps: ReadonlyMap<string, WatchedApp>;
  readonly hosts: ReadonlyMap<string, WatchedHost>;
}

export interface WatchedObjectsOptions {
  readonly client: KubeClient;
  /** The one to watch; null for all. */
  readonly namespace: string | null;
  readonly writer: StatusWriter;
  /** People ask for something of the ConfigRepo with this key (`namespace/name`), or of what lies below it. */
  readonly asked: (repo: string) => void;
  readonly appGone: (app: WatchedApp) => void;
  readonly hostGone: (host: WatchedHost) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The custom resources of the three kinds as they are, and a call when people ask for something. */
export class WatchedObjects {
  readonly #options: WatchedObjectsOptions;
  readonly #repos: Informer<WatchedRepo>;
  readonly #apps: Informer<WatchedApp>;
  readonly #hosts: Informer<WatchedHost>;
  readonly #below = new Map<string, { apps: Map<string, WatchedApp>; hosts: Map<string, WatchedHost> }>();

  constructor(options: WatchedObjectsOptions) {
    this.#options = options;
    const { asked, appGone, hostGone } = options;
    this.#repos = this.#informer("ConfigRepo", watchedRepo, (key, now, before) => {
      if (isAnother(now, before) || asksOtherwise(now, before)) asked(key);
    });
    this.#apps = this.#informer("ConfigApp", watchedApp, (_, now, before) => {
      const { repo, name, app } = (now ?? before)!;
      if (name !== configAppName(repoName(repo), appId(app))) return;
      put(this.#belowOf(repo).apps, name, now);
      if (asksOtherwise(now, before)) asked(repo);
      if (!now) appGone(before!);
    });
    this.#hosts = this.#informer("ConfigHost", watchedHost, (_, now, before) => {
      const { repo, name, host } = (now ?? before)!;
      const { address = "", port } = parseHostText(host) ?? {};
      // People can make objects too: only the one that the controller would make speaks for the host.
      if (name !== configHostName(repoName(repo), { address, port: port ?? 22 })) return;
      put(this.#belowOf(repo).hosts, name, now);
      if (asksOtherwise(now, before)) asked(repo);
      if (!now) hostGone(before!);
    });
  }

  /** By `namespace/name`. */
  get repos(): ReadonlyMap<string, WatchedRepo> {
    return this.#repos.cache;
  }

  /** Keys of ConfigRepos that are gone and have left something behind. */
  get orphaned(): string[] {
    return [...this.#below.keys()].filter((repo) => !this.repos.has(repo));
  }

  below(repo: string): Below {
    return this.#belowOf(repo);
  }

  /** Watches until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#repos, this.#apps, this.#hosts].map((informer) => informer.run(signal)));
  }

  /** Resolves when all three were read once, or the signal aborts. */
  async synced(signal: AbortSignal): Promise<void> {
    await orAborted(Promise.all([this.#repos, this.#apps, this.#hosts].map(({ synced }) => synced)), signal);
  }

  #belowOf(repo: string) {
    let below = this.#below.get(repo);
    if (!below) this.#below.set(repo, (below = { apps: new Map(), hosts: new Map() }));
    return below;
  }

  #informer<Kept extends Watched>(
    kind: ResourceKind,
    keep: (object: Resource) => Kept,
    changed: (key: string, now: Kept | undefined, before: Kept | undefined) => void,
  ): Informer<Kept> {
    const { client, namespace, clock, log } = this.#options;
    const { plural } = RESOURCES[kind];
    const within = namespace === null ? "" : `/namespaces/${namespace}`;
    return new Informer<Kept>({
      client,
      name: plural,
      path: `/apis/${GROUP}/${VERSION}${within}/${plural}`,
      keep,
      changed: (key, now, before) => {
        if (now) this.#observe(kind, key, now, before);
        else this.#options.writer.gone(refOf(kind, key));
        changed(key, now, before);
      },
      clock,
      log,
    });
  }

  /** The writer learns which version it may write over; a specification that was taken in is said to be. */
  #observe(kind: ResourceKind, key: string, now: Watched, before: Watched | undefined): void {
    const { writer } = this.#options;
    const { generation, resourceVersion } = now;
    const ref = refOf(kind, key);
    writer.observed(ref, { generation, resourceVersion });
    if (before && now.uid === before.uid && now.generation !== before.generation && kind !== "ConfigRepo") {
      writer.write(ref, {}).catch(() => undefined);
    }
  }
}

function refOf(kind: ResourceKind, key: string): ObjectRef {
  const slash = key.indexOf("/");
  return { kind, namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** Of `namespace/name`. */
function repoName(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}

function put<Value>(into: Map<string, Value>, name: string, value: Value | undefined): void {
  if (value === undefined) into.delete(name);
  else into.set(name, value);
}
