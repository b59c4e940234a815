import type { FastifyReply, FastifyRequest } from "fastify";
import type { RecentEvent } from "../../reconcile/recent-events.ts";
import type { AppItem, HostItem } from "../../reconcile/report-items.ts";
import { HttpProblem } from "../problem.ts";
import { deskOf, type PublicServerOptions, type SiteDesk } from "../site.ts";
import { Entrance } from "./entrance.ts";
import { Session } from "./session.ts";
import { appTopic, eventTopic, hostTopic, type Topic } from "./topics.ts";

/** Streams at a time, of all kinds. */
const MOST_WATCHERS = 2000;

export interface WatchesOptions extends Pick<PublicServerOptions, "site" | "clock" | "log"> {
  /** Aborts when the server closes: every stream ends. */
  readonly closing: AbortSignal;
  readonly limit?: number;
  /** Whether who asked for a stream may still have it. Rejects when that cannot be found out now. */
  readonly admits: (request: FastifyRequest) => Promise<boolean>;
}

/** Everybody who watches. When this process leads no more, or its server closes, all streams end. */
export class Watches {
  readonly #options: WatchesOptions;
  readonly #limit: number;
  readonly #apps = new Watched<AppItem>(({ controller }) => appTopic(controller));
  readonly #hosts = new Watched<HostItem>(({ controller }) => hostTopic(controller));
  readonly #events = new Watched<RecentEvent>(({ events }) => eventTopic(events));
  readonly #entrance: Entrance;
  #open = 0;

  constructor(options: WatchesOptions) {
    this.#options = options;
    this.#limit = options.limit ?? MOST_WATCHERS;
    this.#entrance = new Entrance(options.clock);
    options.closing.addEventListener("abort", () => {
      for (const watched of [this.#apps, this.#hosts, this.#events]) watched.end();
    });
  }

  /** Streams that are open now. */
  get open(): number {
    return this.#open;
  }

  async apps(reply: FastifyReply, matches: (app: AppItem) => boolean): Promise<void> {
    this.#requireAll();
    await this.#add(this.#apps, reply, matches);
  }

  async hosts(reply: FastifyReply, matches: (host: HostItem) => boolean): Promise<void> {
    this.#requireAll();
    await this.#add(this.#hosts, reply, matches);
  }

  events(reply: FastifyReply, matches: (event: RecentEvent) => boolean): Promise<void> {
    return this.#add(this.#events, reply, matches);
  }

  /** Throws 503 while a repo is awaited: whoever comes is told of all there is first. */
  #requireAll(): void {
    const { controller } = deskOf(this.#options.site);
    return void controller.repos;
  }

  /** Throws 503. */
  async #add<Item>(watched: Watched<Item>, reply: FastifyReply, matches: (item: Item) => boolean): Promise<void> {
    // Clients may come all at once.
    await this.#entrance.pass();
    const desk = deskOf(this.#options.site);
    if (this.#open >= this.#limit) {
      throw new HttpProblem(503, `${this.#limit} watchers are here already`, { headers: { "retry-after": "10" } });
    }
    const { raw } = reply.hijack();
    raw.writeHead(200, { ...definedHeaders(reply), ...HEADERS });
    if (reply.request.method === "HEAD" || this.#options.closing.aborted || raw.destroyed) return void raw.end();
    this.#open += 1;
    raw.once("close", () => (this.#open -= 1));
    raw.flushHeaders();
    const admits = () => this.#options.admits(reply.request);
    await watched.session(desk, this.#options).add(raw, matches, admits);
  }
}

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  // nginx keeps what it forwards to itself otherwise.
  "x-accel-buffering": "no",
};

function definedHeaders(reply: FastifyReply): Record<string, string | number | string[]> {
  const headers = Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined);
  return Object.fromEntries(headers) as Record<string, string | number | string[]>;
}

/** One kind of item, of whoever leads now. */
class Watched<Item> {
  readonly #makeTopic: (desk: SiteDesk) => Topic<Item>;
  #desk: SiteDesk | undefined;
  #session: Session<Item> | undefined;

  constructor(makeTopic: (desk: SiteDesk) => Topic<Item>) {
    this.#makeTopic = makeTopic;
  }

  session(desk: SiteDesk, { site, clock, log }: WatchesOptions): Session<Item> {
    if (this.#desk !== desk) this.end();
    if (this.#session) return this.#session;
    const session = new Session<Item>({
      topic: this.#makeTopic(desk),
      holds: () => site.desk() === desk,
      over: () => {
        if (this.#session === session) this.#session = this.#desk = undefined;
      },
      clock,
      log,
    });
    this.#desk = desk;
    this.#session = session;
    void session.run();
    return session;
  }

  end(): void {
    this.#session?.end();
  }
}
