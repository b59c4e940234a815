import type { Turns } from "../../ports/turns.ts";
import type { AppItem, HostItem } from "../../reconcile/report-items.ts";
import type { RecentEvent, RecentEvents } from "../../reconcile/recent-events.ts";
import type { Controller } from "../../reconcile/controller.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import { eventItem } from "../views/event-item.ts";
import { appText, hostText } from "../views/item-texts.ts";
import type { Feed, Words } from "./feed.ts";

/** Where the items of a feed come from. */
export interface Topic<Item> extends Disposable {
  readonly words: Words<Item>;
  /** Brings the feed up to date, with pauses; the first call puts all there is into it. */
  look(feed: Feed<Item>, turns: Turns): Promise<void>;
}

export function appTopic(controller: Controller): Topic<AppItem> {
  return new FleetTopic<AppItem>(controller, {
    listed: ({ reports }) => reports.apps,
    words: { whole: appText, key: ({ repo, mod, env, app }) => JSON.stringify({ repo, mod, env, app }) },
  });
}

export function hostTopic(controller: Controller): Topic<HostItem> {
  return new FleetTopic<HostItem>(controller, {
    listed: ({ reports }) => reports.hosts,
    words: { whole: hostText, key: ({ repo, address, port }) => JSON.stringify({ repo, address, port }) },
  });
}

interface Listed<Item> {
  readonly key: string;
  readonly item: Item;
}

/** One kind of what the repos report. An item that is another object than before says something else. */
class FleetTopic<Item> implements Topic<Item> {
  readonly words: Words<Item>;
  readonly #controller: Controller;
  readonly #listed: (repo: RepoController) => readonly Listed<Item>[];
  readonly #seen = new Map<string, { repo: RepoController; version: number; items: Map<string, Item> }>();

  constructor(
    controller: Controller,
    options: Pick<Topic<Item>, "words"> & { listed: (repo: RepoController) => readonly Listed<Item>[] },
  ) {
    this.#controller = controller;
    this.words = options.words;
    this.#listed = options.listed;
  }

  async look(feed: Feed<Item>, turns: Turns): Promise<void> {
    const { running, awaited } = this.#controller;
    const repos = new Map(running.map((repo) => [repo.repo, repo]));
    for (const [name, { items }] of this.#seen) {
      // Of one that is about to come back nothing is gone: what is otherwise then is told then.
      if (repos.has(name) || awaited.has(name)) continue;
      this.#seen.delete(name);
      for (const key of items.keys()) feed.delete(keyIn(name, key));
    }
    for (const repo of repos.values()) await this.#lookAt(repo, feed, turns);
  }

  async #lookAt(repo: RepoController, feed: Feed<Item>, turns: Turns): Promise<void> {
    const { repo: name, reports } = repo;
    await reports.upToDate();
    const before = this.#seen.get(name);
    if (before?.repo === repo && before.version === reports.version) return;
    const anew = before !== undefined && before.repo !== repo;
    const items = new Map(this.#listed(repo).map(({ key, item }) => [key, item]));
    this.#seen.set(name, { repo, version: reports.version, items });
    for (const key of before?.items.keys() ?? []) if (!items.has(key)) feed.delete(keyIn(name, key));
    for (const [key, item] of items) {
      const known = before?.items.get(key);
      if (known === item || (anew && known && this.#saysTheSame(known, item))) continue;
      feed.put(keyIn(name, key), item);
      await turns.pause();
    }
  }

  #saysTheSame(before: Item, item: Item): boolean {
    return this.words.whole(before) === this.words.whole(item);
  }

  [Symbol.dispose](): void {}
}

/** Neither holds a blank. */
function keyIn(repo: string, key: string): string {
  return `${repo} ${key}`;
}

/** What happened lately, the oldest first. */
export function eventTopic(events: RecentEvents): Topic<RecentEvent> {
  let fresh: RecentEvent[] = events.list().toReversed();
  let known = new Set<number>();
  const watching = events.watch((event) => fresh.push(event));
  return {
    words: { whole: (event) => JSON.stringify(eventItem(event)), key: ({ id }) => JSON.stringify({ id }) },
    look: async (feed) => {
      if (fresh.length === 0) return;
      for (const event of fresh) feed.put(String(event.id), event);
      fresh = [];
      const kept = new Set(events.list().map(({ id }) => id));
      for (const id of known.difference(kept)) feed.forget(String(id));
      known = kept;
    },
    [Symbol.dispose]: () => watching[Symbol.dispose](),
  };
}
