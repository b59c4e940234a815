import type { ServerResponse } from "node:http";
import type { Logger } from "pino";
import { sleep, type Clock } from "../../ports/clock.ts";
import { Turns } from "../../ports/turns.ts";
import { Admission } from "./admission.ts";
import { Feed } from "./feed.ts";
import { comeAgain } from "./frames.ts";
import { Reader } from "./reader.ts";
import type { Topic } from "./topics.ts";
import { Watcher } from "./watcher.ts";

/** Milliseconds between two looks. */
const LOOK = 250;
const HEARTBEAT = 15_000;
/** A change is kept for so long for whoever was not told of it yet; who is further behind than that is ended. */
const KEPT = 60_000;
/** A stream lives for half of it at least: then the client comes again. */
const LIFE = 3_600_000;
/** After half of it at least a client whose stream ended comes again: not all at the same time. */
const AGAIN = 4000;

export interface SessionOptions<Item> {
  readonly topic: Topic<Item>;
  /** Whether there is still the same to be looked at. */
  readonly holds: () => boolean;
  /** Called once: nobody may join any more. */
  readonly over: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * All watchers of one kind of item, from the first who comes until the last has gone. While there are any it
 * looks for changes now and then; what changed is put into words once, and each watcher is told in small
 * pieces between which everything else goes on.
 */
export class Session<Item> {
  readonly #options: SessionOptions<Item>;
  readonly #feed: Feed<Item>;
  readonly #watchers = new Set<Watcher>();
  readonly #gone = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  /** Clients that wait for the first look. */
  #joining = 0;
  #over = false;
  /** Those that can be told more. */
  readonly #ready = new Set<Watcher>();
  #telling = false;
  #beatAt: number;

  constructor(options: SessionOptions<Item>) {
    const { topic, clock } = options;
    this.#options = options;
    this.#feed = new Feed({ words: topic.words, monotonic: () => clock.monotonic() });
    this.#beatAt = clock.monotonic() + HEARTBEAT;
  }

  /** Looks until the last watcher has gone; one must come at once. */
  async run(): Promise<void> {
    const { topic, clock, log } = this.#options;
    try {
      while (!this.#gone.signal.aborted) {
        await this.#look();
        await sleep(clock, LOOK, this.#gone.signal);
      }
    } catch (err) {
      log.error({ err }, "what people watch cannot be looked at");
      for (const watcher of this.#watchers) watcher.cut();
    } finally {
      this.#end();
      this.#first.resolve();
      topic[Symbol.dispose]();
    }
  }

  /** Resolves when the client is being told, or the stream has ended. `admits`: as Admission has it. */
  async add(response: ServerResponse, matches: (item: Item) => boolean, admits: () => Promise<boolean>): Promise<void> {
    const { clock } = this.#options;
    this.#joining += 1;
    await this.#first.promise;
    this.#joining -= 1;
    if (this.#over || response.destroyed) {
      response.end();
      return this.#leave();
    }
    const watcher = new Watcher({
      told: new Reader(this.#feed, matches),
      response,
      admission: new Admission({ admits, clock }),
      monotonic: () => clock.monotonic(),
      until: clock.monotonic() + (LIFE * (1 + clock.random())) / 2,
      ready: (one) => this.#tellSoon(one),
      gone: (one) => {
        this.#watchers.delete(one);
        this.#ready.delete(one);
        this.#leave();
      },
    });
    this.#watchers.add(watcher);
    watcher.write([comeAgain((AGAIN * (1 + clock.random())) / 2)]);
  }

  /** Ends every stream in good order. */
  end(): void {
    this.#end();
    for (const watcher of this.#watchers) watcher.end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.over();
  }

  #leave(): void {
    if (this.#watchers.size + this.#joining > 0) return;
    this.#end();
    this.#gone.abort();
  }

  async #look(): Promise<void> {
    const { topic, holds, clock } = this.#options;
    if (!this.#over && !holds()) this.end();
    if (!this.#over) await topic.look(this.#feed, new Turns(clock));
    this.#first.resolve();
    this.#sortOut();
    const beat = clock.monotonic() >= this.#beatAt;
    if (beat) this.#beatAt = clock.monotonic() + HEARTBEAT;
    for (const watcher of this.#watchers) {
      if (beat) watcher.beat();
      else this.#tellSoon(watcher);
    }
  }

  /** Ends the watchers that are behind, due or refused, and drops the changes that all of them were told of. */
  #sortOut(): void {
    const { clock, log } = this.#options;
    let place = this.#feed.end;
    const ended = { stalled: 0, refused: 0, due: 0, behind: 0 };
    for (const watcher of this.#watchers) {
      const why = watcher.check();
      if (why) ended[why] += 1;
      else place = Math.min(place, watcher.place);
    }
    const oldest = this.#feed.drop(place);
    if (oldest !== null && clock.monotonic() - oldest > KEPT) {
      for (const watcher of this.#watchers) {
        if (watcher.place !== place) continue;
        watcher.cut();
        ended.behind += 1;
      }
    }
    if (ended.refused > 0) log.info({ refused: ended.refused }, "watchers were ended who may not watch any more");
    if (ended.stalled + ended.behind > 0) log.debug(ended, "watchers that read too slowly were ended");
  }

  #tellSoon(watcher: Watcher): void {
    this.#ready.add(watcher);
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => void this.#tellAll());
  }

  async #tellAll(): Promise<void> {
    const turns = new Turns(this.#options.clock);
    for (const watcher of this.#ready) {
      this.#ready.delete(watcher);
      watcher.tell();
      await turns.pause();
    }
    this.#telling = false;
  }
}
