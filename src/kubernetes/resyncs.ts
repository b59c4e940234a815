import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import { orAborted } from "../ports/abort.ts";
import { jittered, sleep, type Clock } from "../ports/clock.ts";
import type { Events } from "../ports/events.ts";
import type { RepoController } from "../reconcile/repo-controller.ts";
import type { AskedOf } from "../reconcile/suspension.ts";
import type { ObjectRef } from "./objects.ts";

/** Pauses between two looks at Git and inventory that have not said anything yet. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;

/** An object with the annotation `fssync.dev/requestedAt`. */
export interface Asked {
  readonly ref: ObjectRef;
  /** Of the object: one of the same name that is made later is another one. */
  readonly uid: string;
  readonly token: string;
  /** The last token that was echoed there. */
  readonly handled: string | undefined;
  readonly app?: AppKey;
  readonly host?: HostKey;
}

export interface ResyncsOptions {
  readonly controller: RepoController;
  readonly events: Events;
  /** Writes the token to the object's status: every host below it was attempted. */
  readonly handled: (asked: Asked) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Forced resyncs of one repo. Each token syncs every host below its object again, in full, and is echoed
 * when all of them were attempted. A token that replaces another one does not take its place: both are
 * carried out, and only the newer one is echoed.
 */
export class Resyncs {
  readonly #options: ResyncsOptions;
  /** The newest request of each object that was taken up, by its uid. */
  readonly #taken = new Map<string, Asked>();
  #waiting: Asked[] = [];
  #running: Promise<void> = Promise.resolve();
  readonly #operations = new Set<Promise<void>>();

  constructor(options: ResyncsOptions) {
    this.#options = options;
  }

  /** Takes up what was not taken up yet. `asked` names every object that has the annotation. */
  take(asked: readonly Asked[], signal: AbortSignal): void {
    // The last token that was taken up counts, not the last that was echoed: the one before it may be set again.
    const fresh = asked.filter(({ uid, token, handled }) => (this.#taken.get(uid)?.token ?? handled) !== token);
    this.#forgetOthers(asked);
    if (fresh.length === 0) return;
    for (const one of fresh) this.#taken.set(one.uid, one);
    this.#say(fresh);
    const first = this.#waiting.length === 0;
    this.#waiting.push(...fresh);
    // Those that come while Git and the inventory are asked share the answer with the next look.
    if (first) this.#running = this.#running.then(() => this.#carryOut(signal));
  }

  /** Resolves when everything taken up has ended, or its signal was aborted. */
  async ended(): Promise<void> {
    await this.#running;
    await Promise.all(this.#operations);
  }

  async #carryOut(signal: AbortSignal): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = [];
    await this.#look(signal);
    if (signal.aborted) return;
    for (const asked of batch) {
      const done = this.#attempt(asked, signal).finally(() => this.#operations.delete(done));
      this.#operations.add(done);
    }
  }

  /** The newest of Git and inventory. While the repo is suspended what is known already stands. */
  async #look(signal: AbortSignal): Promise<void> {
    const { controller, clock } = this.#options;
    if (controller.suspension.now.repo && controller.known) return;
    await controller.refresh(signal);
    for (let pause = FIRST_PAUSE; !controller.known && !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      await sleep(clock, jittered(clock, pause), signal);
      await controller.refresh(signal);
    }
  }

  async #attempt(asked: Asked, signal: AbortSignal): Promise<void> {
    const { controller, handled } = this.#options;
    const { app, host, uid } = asked;
    await this.#known(asked, signal);
    const selection = { ...(app && { apps: new Set([app]) }), ...(host && { hosts: new Set([host]) }) };
    const wish = { full: true, allowPrune: false };
    const { finished } = controller.request(selection, wish, askedOf(asked));
    await orAborted(finished, signal);
    if (signal.aborted) return;
    // A newer request of the object is echoed by its own attempt, which comes after this one.
    if (this.#taken.get(uid) === asked) handled(asked);
  }

  /** Nobody knows which hosts an app has that the inventory has not spoken of: they were not attempted. */
  async #known({ app }: Asked, signal: AbortSignal): Promise<void> {
    const { controller, clock } = this.#options;
    if (app === undefined) return;
    for (
      let pause = FIRST_PAUSE;
      !controller.knows(app) && !signal.aborted;
      pause = Math.min(2 * pause, LONGEST_PAUSE)
    ) {
      await sleep(clock, jittered(clock, pause), signal);
    }
  }

  #forgetOthers(asked: readonly Asked[]): void {
    const there = new Set(asked.map(({ uid }) => uid));
    for (const uid of this.#taken.keys()) if (!there.has(uid)) this.#taken.delete(uid);
  }

  #say(fresh: readonly Asked[]): void {
    const { log, events } = this.#options;
    for (const { ref, token, app, host } of fresh.slice(0, 20)) {
      log.info(
        { event: "ResyncRequested", kind: ref.kind, name: ref.name, requestedAt: token },
        "forced resync asked for",
      );
      events.record({ ...(app && { app }), ...(host && { host }) }, "Normal", "ResyncRequested", `token ${token}`);
    }
    if (fresh.length > 20) {
      log.info({ event: "ResyncRequested", count: fresh.length }, "forced resync asked for, of many objects");
    }
  }
}

function askedOf({ app, host }: Asked): AskedOf {
  if (host !== undefined) return "host";
  return app === undefined ? "repo" : "app";
}
