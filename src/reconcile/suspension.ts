import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import { suspendedMessage, type SuspendedTarget } from "../ports/suspender.ts";
import type { Fleet } from "./fleet.ts";

/** Where people have stopped work. */
export interface Suspended {
  readonly repo: boolean;
  readonly apps: ReadonlySet<AppKey>;
  readonly hosts: ReadonlySet<HostKey>;
  /** Who stopped it and why, of those of which that is known. */
  readonly said?: readonly SuspendedTarget[];
}

/**
 * The object that a forced resync was asked for. It goes on although that object, or one above it, is
 * suspended: whoever asks for it means it. What is suspended below stays alone.
 */
export type AskedOf = "repo" | "app" | "host";

export class Suspension {
  #now: Suspended;
  /** What is said of each, by `keyOf`. */
  #said: ReadonlyMap<string, SuspendedTarget>;

  /** `repo` lies over what is stored: what the configuration stops is stopped. */
  constructor(repo: boolean, stored: Suspended = { repo: false, apps: new Set(), hosts: new Set() }) {
    this.#now = { ...stored, repo: repo || stored.repo };
    this.#said = saidOf(this.#now);
  }

  get now(): Suspended {
    return this.#now;
  }

  /** Returns the apps that look otherwise now. */
  set(next: Suspended, fleet: Pick<Fleet, "known" | "recordOf">): ReadonlySet<AppKey> {
    const [before, said] = [this.#now, this.#said];
    this.#now = next;
    this.#said = saidOf(next);
    const saysOtherwise = (target: Pick<SuspendedTarget, "app" | "host">) => {
      const [now, then] = [this.#said.get(keyOf(target)), said.get(keyOf(target))];
      return now?.by !== then?.by || now?.reason !== then?.reason;
    };
    if (before.repo !== next.repo || saysOtherwise({})) return new Set(fleet.known.keys());
    const hosts = [...before.hosts.union(next.hosts)].filter(
      (host) => before.hosts.has(host) !== next.hosts.has(host) || saysOtherwise({ host }),
    );
    const apps = [...before.apps.union(next.apps)].filter(
      (app) => before.apps.has(app) !== next.apps.has(app) || saysOtherwise({ app }),
    );
    return new Set([...apps, ...hosts.flatMap((key) => [...(fleet.recordOf(key)?.apps.keys() ?? [])])]);
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

  /** The repo itself, once it is suspended. */
  ofRepo(repo: string): SuspendedTarget {
    return this.#said.get(keyOf({})) ?? { repo };
  }

  /** What it is that holds the app on the host: the repo before the app, and that before the host. */
  whatHolds(repo: string, app: AppKey, host: HostKey): SuspendedTarget | undefined {
    if (this.#now.repo) return this.ofRepo(repo);
    if (this.#now.apps.has(app)) return this.#said.get(keyOf({ app })) ?? { repo, app };
    return this.#now.hosts.has(host) ? (this.#said.get(keyOf({ host })) ?? { repo, host }) : undefined;
  }

  /** Who holds the app on the host and why, for people; where that is known. */
  message(app: AppKey, host: HostKey): string | undefined {
    const target = this.whatHolds("", app, host);
    return target && suspendedMessage(target);
  }

  /** Whether it keeps a request from this app on this host. */
  holdsRequest(app: AppKey, host: HostKey, askedOf: AskedOf | undefined): boolean {
    const { apps, hosts } = this.#now;
    if (askedOf === undefined) return this.holds(app, host);
    return (askedOf !== "app" && apps.has(app)) || (askedOf !== "host" && hosts.has(host));
  }
}

function saidOf({ said = [] }: Suspended): ReadonlyMap<string, SuspendedTarget> {
  return new Map(said.map((target) => [keyOf(target), target]));
}

function keyOf({ app, host }: Pick<SuspendedTarget, "app" | "host">): string {
  return host === undefined ? `app ${app ?? ""}` : `host ${host}`;
}
