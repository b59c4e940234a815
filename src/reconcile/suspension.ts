import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { Fleet } from "./fleet.ts";

/** Where people have stopped work. */
export interface Suspended {
  readonly repo: boolean;
  readonly apps: ReadonlySet<AppKey>;
  readonly hosts: ReadonlySet<HostKey>;
}

/**
 * The object that a forced resync was asked for. It goes on although that object, or one above it, is
 * suspended: whoever asks for it means it. What is suspended below stays alone.
 */
export type AskedOf = "repo" | "app" | "host";

export class Suspension {
  #now: Suspended;

  /** `repo` lies over what is stored: what the configuration stops is stopped. */
  constructor(repo: boolean, stored: Suspended = { repo: false, apps: new Set(), hosts: new Set() }) {
    this.#now = { ...stored, repo: repo || stored.repo };
  }

  get now(): Suspended {
    return this.#now;
  }

  /** Returns the apps that look otherwise now. */
  set(next: Suspended, fleet: Pick<Fleet, "desired" | "hosts">): ReadonlySet<AppKey> {
    const before = this.#now;
    this.#now = next;
    if (before.repo !== next.repo) return new Set(fleet.desired.keys());
    const hosts = before.hosts.symmetricDifference(next.hosts);
    const onHosts = [...hosts].flatMap((key) => fleet.hosts.get(key)?.apps ?? []);
    return before.apps.symmetricDifference(next.apps).union(new Set(onHosts));
  }

  holds(app: AppKey, host: HostKey): boolean {
    return this.#now.repo || this.#holdsEither(app, host);
  }

  /** Whether the app or the host is suspended by itself, in a repo that is not. */
  holdsPart(app: AppKey, host: HostKey): boolean {
    return !this.#now.repo && this.#holdsEither(app, host);
  }

  #holdsEither(app: AppKey, host: HostKey): boolean {
    return this.#now.apps.has(app) || this.#now.hosts.has(host);
  }

  /** Whether it keeps a request from this app on this host. */
  holdsRequest(app: AppKey, host: HostKey, askedOf: AskedOf | undefined): boolean {
    const { apps, hosts } = this.#now;
    if (askedOf === undefined) return this.holds(app, host);
    return (askedOf !== "app" && apps.has(app)) || (askedOf !== "host" && hosts.has(host));
  }
}
