import { connect, type Socket } from "node:net";
import Fastify from "fastify";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import type { ApiServer } from "../../../src/http/api-server.ts";
import { closeGracefully } from "../../../src/http/graceful-close.ts";
import { answerProblems } from "../../../src/http/problems.ts";
import type { SiteDesk } from "../../../src/http/site.ts";
import { Watches } from "../../../src/http/watch/watches.ts";
import { RecentEvents } from "../../../src/reconcile/recent-events.ts";
import type { HostItem } from "../../../src/reconcile/report-items.ts";
import { EventStream } from "../../support/event-stream.ts";
import { recordedLog } from "../../support/fakes.ts";
import { until } from "../../support/fleet.ts";

/** What a repo reports, as the test wants it. */
class FakeReports {
  version = 0;
  hosts: { key: string; item: HostItem }[] = [];
  looks = 0;
  error: Error | null = null;

  /** A host whose item has about so many bytes. */
  put(port: number, bytes = 100): void {
    const item: HostItem = {
      repo: "files",
      suspended: false,
      address: "10.0.0.1",
      port,
      state: "Synced",
      apps: [
        { app: "m/e/a", state: "Synced", revision: null, digest: null, syncedAt: null, message: "x".repeat(bytes) },
      ],
    };
    this.hosts = [...this.hosts.filter(({ key }) => key !== String(port)), { key: String(port), item }];
    this.version += 1;
  }

  async upToDate(): Promise<void> {
    this.looks += 1;
    if (this.error) throw this.error;
  }
}

interface Served {
  readonly url: string;
  readonly port: number;
  readonly reports: FakeReports;
  readonly repos: { repo: string; reports: FakeReports }[];
  readonly awaited: Set<string>;
  readonly watches: Watches;
  readonly server: ApiServer;
  lead(desk: "same" | "another" | "none"): void;
}

async function serve(limit?: number): Promise<Served> {
  const reports = new FakeReports();
  const repos = [{ repo: "files", reports }];
  const awaited = new Set<string>();
  const makeDesk = () =>
    ({
      controller: { repos, running: repos, awaited },
      events: new RecentEvents({ clock: systemClock }),
    }) as unknown as SiteDesk;
  let desk: SiteDesk | undefined = makeDesk();
  const site = { version: "0", metrics: async () => "", notReady: () => null, desk: () => desk };
  const server = Fastify({ return503OnClosing: false, forceCloseConnections: "idle" }) as unknown as ApiServer;
  closeGracefully(server, systemClock);
  answerProblems(server);
  const { log } = recordedLog();
  const admits = async () => true;
  const options = {
    site,
    clock: systemClock,
    log,
    closing: server.closing,
    admits,
    ...(limit !== undefined && { limit }),
  };
  const watches = new Watches(options as unknown as ConstructorParameters<typeof Watches>[0]);
  server.get("/hosts", (_, reply) => watches.hosts(reply, () => true));
  await server.listen({ host: "127.0.0.1", port: 0 });
  onTestFinished(() => server.close());
  const { port } = server.server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/hosts`,
    port,
    reports,
    repos,
    awaited,
    watches,
    server,
    lead: (next) => (desk = next === "same" ? desk : next === "another" ? makeDesk() : undefined),
  };
}

async function open(url: string): Promise<EventStream<HostItem>> {
  const stream = await EventStream.open<HostItem>(url);
  onTestFinished(() => stream[Symbol.dispose]());
  return stream;
}

test("a client is told what is there when it comes, whatever was told to those before", async () => {
  const { url, reports, watches } = await serve();
  reports.put(1);
  const first = await open(url);
  await first.synced();
  first[Symbol.dispose]();
  await until(() => watches.open === 0, 5000, "the watcher to have gone");
  reports.hosts = [];
  reports.put(2);
  const second = await open(url);
  await second.synced();
  expect(second.events.map(({ event, data }) => [event, data.port])).toEqual([
    ["added", 2],
    ["synced", undefined],
  ]);
});

test("a repo that goes takes its hosts with it, and one that comes brings its own", async () => {
  const { url, reports, repos } = await serve();
  reports.put(1);
  const stream = await open(url);
  await stream.synced();
  const other = new FakeReports();
  other.put(2);
  repos.splice(0, 1, { repo: "others", reports: other });
  await stream.until(({ changes }) => changes.length === 2, "both to be told");
  expect(stream.changes.map(({ event, data }) => [event, data])).toEqual([
    ["deleted", { repo: "files", address: "10.0.0.1", port: 1 }],
    ["added", other.hosts[0]!.item],
  ]);
});

test("of a repo that is started anew only what is otherwise then is told", async () => {
  const { url, reports, repos, awaited } = await serve();
  reports.put(1);
  reports.put(2);
  const stream = await open(url);
  await stream.synced();
  awaited.add("files");
  repos.splice(0, 1);
  const anew = new FakeReports();
  anew.put(1);
  anew.put(3);
  const others = new FakeReports();
  others.put(4);
  repos.push({ repo: "others", reports: others });
  await stream.until(({ changes }) => changes.length === 1, "a look without the repo");
  repos.push({ repo: "files", reports: anew });
  await stream.until(({ changes }) => changes.length === 3, "the others to be told");
  expect(stream.changes.map(({ event, data }) => [event, data.port])).toEqual([
    ["added", 4],
    ["deleted", 2],
    ["added", 3],
  ]);
});

test.for(["none", "another"] as const)("streams end when this process leads no more (then: %s)", async (next) => {
  const { url, reports, lead, watches } = await serve();
  reports.put(1);
  const streams = await Promise.all([open(url), open(url)]);
  for (const stream of streams) await stream.synced();
  lead(next);
  await until(() => streams.every(({ ended }) => ended), 5000, "the streams to end");
  expect(streams.map(({ response }) => response.complete)).toEqual([true, true]);
  await until(() => watches.open === 0, 5000, "nobody to be counted");
  const again = await open(url);
  if (next === "another") await again.synced();
  expect(again.status).toBe(next === "another" ? 200 : 503);
});

test("streams end when the server closes, at once and in good order", async () => {
  const { url, reports, server } = await serve();
  reports.put(1);
  const streams = await Promise.all([open(url), open(url)]);
  for (const stream of streams) await stream.synced();
  const start = performance.now();
  await server.close();
  expect(performance.now() - start).toBeLessThan(4000);
  await until(() => streams.every(({ ended }) => ended), 5000, "the streams to end");
  expect(streams.map(({ response }) => response.complete)).toEqual([true, true]);
});

test("when what there is cannot be told, streams are cut, and the next one tries anew", async () => {
  const { url, reports, watches } = await serve();
  reports.put(1);
  const stream = await open(url);
  await stream.synced();
  reports.error = new Error("broken");
  await until(() => stream.ended, 5000, "the stream to be cut");
  expect(stream.response.complete).toBe(false);
  reports.error = null;
  const again = await open(url);
  await again.synced();
  expect(watches.open).toBe(1);
});

test("as many may watch as there are places, the next one is told when to come again", async () => {
  const { url, reports, watches } = await serve(2);
  reports.put(1);
  const [first, second] = await Promise.all([open(url), open(url)]);
  const third = await EventStream.open(url);
  third[Symbol.dispose]();
  expect([first.status, second.status, third.status]).toEqual([200, 200, 503]);
  expect(third.response.headers).toMatchObject({
    "retry-after": "10",
    "content-type": expect.stringContaining("application/problem+json") as string,
  });
  first[Symbol.dispose]();
  await until(() => watches.open === 1, 5000, "a place to be free");
  expect((await open(url)).status).toBe(200);
});

/** Asks for the stream and never reads. */
async function deaf(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  onTestFinished(() => void socket.destroy());
  socket.pause();
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write("GET /hosts HTTP/1.1\r\nhost: localhost\r\n\r\n");
  return socket;
}

test("one that does not read has one piece waiting, holds nobody up, and is ended", { timeout: 60_000 }, async () => {
  const { port, url, reports, watches } = await serve();
  for (let host = 0; host < 200; host += 1) reports.put(host, 100_000);
  await deaf(port);
  await until(() => watches.open === 1, 5000, "it to be there");
  const good = await open(url);
  await good.synced();
  expect(good.events).toHaveLength(201);
  expect(watches.open).toBe(2);
  const bytes = waiting();
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThan(256 * 1024);
  await until(() => watches.open === 1, 40_000, "it to be ended");
  reports.put(1000);
  await good.until(({ changes }) => changes.length === 1, "the other one to be told all the same");
});

test("one that reads slowly, but reads, is told everything in the end", { timeout: 60_000 }, async () => {
  const { url, reports } = await serve();
  for (let host = 0; host < 100; host += 1) reports.put(host, 100_000);
  const slow = await open(url);
  for (let host = 0; host < 20; host += 1) {
    slow.stall();
    reports.put(host, 200_000);
    const { looks } = reports;
    await until(() => reports.looks > looks, 5000, "a look");
    slow.goOn();
  }
  await slow.until(({ isSynced }) => isSynced, "all there was");
  const last = () => new Map(slow.events.map(({ data }) => [data.port, data]));
  await slow.until(() => (last().get(19)?.apps[0]?.message?.length ?? 0) === 200_000, "the last change");
  for (const { item } of reports.hosts) expect(last().get(item.port)).toEqual(item);
});

/** Bytes that wait in this process to be sent. */
function waiting(): number {
  let bytes = 0;
  const handles = process as unknown as { _getActiveHandles(): { writableLength?: number }[] };
  for (const { writableLength = 0 } of handles._getActiveHandles()) bytes += writableLength;
  return bytes;
}
