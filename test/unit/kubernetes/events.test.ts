import type { CoreV1Event } from "@kubernetes/client-node";
import { beforeEach, describe, expect, it } from "vitest";
import { refused, unanswered } from "../../../src/kubernetes/api-error.ts";
import { EventRecorder, type EventsApi } from "../../../src/kubernetes/events.ts";
import { quiet, recordedLog } from "../../support/fakes.ts";
import { ManualClock } from "../../support/manual-clock.ts";

type Create = Parameters<EventsApi["createNamespacedEvent"]>[0];
type Patch = Parameters<EventsApi["patchNamespacedEvent"]>[0];

const REPO = { kind: "ConfigRepo", namespace: "ops", name: "serverfiles", uid: "u-1" };
const MINUTE = 60_000;

/** The API server's events, and its troubles. */
class FakeEvents {
  readonly stored = new Map<string, CoreV1Event>();
  requests: string[] = [];
  /** Thrown by every request while set. */
  error: Error | null = null;
  /** Thrown after the work was done. */
  lostAnswer: Error | null = null;
  /** While set, requests wait for it. */
  gate: Promise<void> | null = null;
  underWay = 0;
  mostUnderWay = 0;

  async createNamespacedEvent({ body }: Create): Promise<CoreV1Event> {
    await this.#answer(`create ${body.message}`);
    const name = body.metadata.name!;
    if (this.stored.has(name)) throw refused({ status: 409, headers: {}, body: "" });
    this.stored.set(name, structuredClone(body));
    if (this.lostAnswer) throw this.lostAnswer;
    return body;
  }

  async patchNamespacedEvent({ name, body }: Patch): Promise<CoreV1Event> {
    await this.#answer(`patch ${(body as CoreV1Event).message}`);
    const event = this.stored.get(name);
    if (!event) throw refused({ status: 404, headers: {}, body: "" });
    return Object.assign(event, body);
  }

  get counts(): Record<string, number> {
    return Object.fromEntries([...this.stored.values()].map(({ message, count }) => [message!, count!]));
  }

  async #answer(request: string): Promise<void> {
    this.requests.push(request);
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    await this.gate;
    this.underWay -= 1;
    if (this.error) throw this.error;
  }
}

const away = () => unanswered(new Error("connect ECONNREFUSED"));

describe("the recorder of events", () => {
  let clock: ManualClock;
  let api: FakeEvents;
  let recorder: EventRecorder;
  let lines: Record<string, unknown>[];

  function start(options: { capacity?: number } = {}): void {
    const recorded = recordedLog();
    clock = new ManualClock();
    api = new FakeEvents();
    lines = recorded.lines;
    recorder = new EventRecorder({ client: { core: api }, clock, log: recorded.log, instance: "fssync-0", ...options });
  }
  beforeEach(() => start());

  function failed(message: string, name = "host-1"): void {
    recorder.event({ ...REPO, kind: "ConfigHost", name }, "Warning", "SyncFailed", message);
  }

  it("writes what happened, to whom, when and by whom", async () => {
    recorder.event(REPO, "Normal", "NewRevision", "main@sha1:abc");
    await quiet();
    const [event] = [...api.stored.values()];
    expect(event).toEqual({
      metadata: { name: expect.stringMatching(/^serverfiles\.[0-9a-f]{16}$/), namespace: "ops" },
      involvedObject: { ...REPO, apiVersion: "fssync.dev/v1alpha1" },
      type: "Normal",
      reason: "NewRevision",
      message: "main@sha1:abc",
      count: 1,
      firstTimestamp: new Date(clock.now()),
      lastTimestamp: new Date(clock.now()),
      source: { component: "fssync" },
      reportingComponent: "fssync",
      reportingInstance: "fssync-0",
    });
    expect(recorder.pending).toBe(0);
  });

  it("counts the same occurrence again instead of writing a new event", async () => {
    failed("no route");
    await quiet();
    const first = clock.now();
    clock.advance(MINUTE);
    failed("no route");
    await quiet();
    expect(api.requests).toEqual(["create no route", "patch no route"]);
    const [event] = [...api.stored.values()];
    expect(event).toMatchObject({ count: 2, lastTimestamp: new Date(clock.now()).toISOString() });
    expect(event!.firstTimestamp).toEqual(new Date(first));
  });

  it("tells apart objects, reasons, types, messages, and an object from one of the same name before it", async () => {
    recorder.event(REPO, "Normal", "NewRevision", "a");
    recorder.event({ ...REPO, name: "other" }, "Normal", "NewRevision", "a");
    recorder.event({ ...REPO, namespace: "other" }, "Normal", "NewRevision", "a");
    recorder.event({ ...REPO, uid: "u-2" }, "Normal", "NewRevision", "a");
    recorder.event(REPO, "Warning", "NewRevision", "a");
    recorder.event(REPO, "Normal", "ResyncRequested", "a");
    recorder.event(REPO, "Normal", "NewRevision", "b");
    await quiet();
    expect([...api.stored.values()].map(({ count }) => count)).toEqual([1, 1, 1, 1, 1, 1, 1]);
  });

  it("writes once what happens many times while it waits or is under way", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    api.gate = promise;
    for (let time = 0; time < 5; time += 1) failed("no route");
    await quiet();
    for (let time = 0; time < 5; time += 1) failed("no route");
    await quiet();
    // One event is never written twice at a time: its counts could come in the wrong order.
    expect(api.requests).toEqual(["create no route"]);
    resolve();
    await quiet();
    expect(api.requests).toEqual(["create no route", "patch no route"]);
    expect(api.counts).toEqual({ "no route": 10 });
  });

  it("combines the messages of one reason after the tenth", async () => {
    for (let index = 1; index <= 14; index += 1) failed(`file ${index}`);
    failed("file 3");
    await quiet();
    const combined = "(combined from similar events): file 14";
    expect(Object.keys(api.counts)).toHaveLength(11);
    expect(api.counts).toMatchObject({ [combined]: 4, "file 10": 1, "file 3": 2 });
  });

  it("tells messages one by one again when ten minutes have passed", async () => {
    for (let index = 1; index <= 11; index += 1) failed(`file ${index}`);
    await quiet();
    clock.advance(10 * MINUTE);
    failed("file 12");
    await quiet();
    expect(api.counts).toMatchObject({ "(combined from similar events): file 12": 2 });
    clock.advance(10 * MINUTE + 1);
    failed("file 13");
    await quiet();
    expect(api.counts).toMatchObject({ "file 13": 1 });
  });

  it("never combines what comes more rarely than ten times in ten minutes", async () => {
    for (let index = 1; index <= 25; index += 1) {
      recorder.event(REPO, "Normal", "NewRevision", `main@sha1:${index}`);
      await quiet();
      clock.advance(2 * MINUTE);
    }
    expect(Object.keys(api.counts)).toHaveLength(25);
    expect(Object.keys(api.counts).filter((message) => message.startsWith("("))).toEqual([]);
  });

  it("suppresses what one object has beyond 25, one more each five minutes, others unharmed", async () => {
    for (let time = 0; time < 40; time += 1) {
      failed("no route");
      await quiet();
    }
    expect(api.requests).toHaveLength(25);
    expect(recorder.suppressed).toBe(15);
    failed("no route", "host-2");
    await quiet();
    expect(api.requests).toHaveLength(26);
    clock.advance(5 * MINUTE);
    failed("no route");
    failed("no route");
    await quiet();
    expect(api.requests).toHaveLength(27);
    expect(recorder.suppressed).toBe(16);
    // The counts go on meanwhile.
    expect([...api.stored.values()][0]).toMatchObject({ count: 42 });
  });

  it("makes a forgotten event anew with the count so far", async () => {
    failed("no route");
    await quiet();
    api.stored.clear();
    failed("no route");
    await quiet();
    expect(api.requests).toEqual(["create no route", "patch no route", "create no route"]);
    expect(api.counts).toEqual({ "no route": 2 });
  });

  it("goes on with an event whose answer was lost", async () => {
    api.lostAnswer = away();
    failed("no route");
    await quiet();
    api.lostAnswer = null;
    failed("no route");
    clock.advance(1_000);
    await quiet();
    expect(api.requests).toEqual(["create no route", "create no route", "patch no route"]);
    expect(api.counts).toEqual({ "no route": 2 });
  });

  it("asks an API server that is away ever more rarely, one request at a time, and drops what is no news", async () => {
    api.error = away();
    for (let index = 0; index < 30; index += 1) failed("no route", `host-${index}`);
    await quiet();
    expect(api.requests).toHaveLength(2);
    api.mostUnderWay = 0;
    for (let second = 0; second < 240; second += 1) {
      clock.advance(1_000);
      await quiet();
    }
    expect(api.requests.length).toBeLessThan(20);
    expect(api.mostUnderWay).toBe(1);
    expect(recorder.pending).toBe(0);
    expect(recorder.dropped).toBe(30);
    expect(lines.filter(({ msg }) => msg === "events cannot be recorded now")).toHaveLength(1);
    api.error = null;
    failed("again");
    clock.advance(30_000);
    await quiet();
    expect(api.counts).toEqual({ again: 1 });
    expect(lines.at(-1)).toMatchObject({ msg: "events are recorded again", dropped: 30 });
  });

  it("waits as long as the API server asks", async () => {
    api.error = refused({ status: 429, headers: { "retry-after": "7" }, body: "" });
    failed("no route");
    await quiet();
    api.error = null;
    clock.advance(6_999);
    await quiet();
    expect(api.requests).toHaveLength(1);
    clock.advance(1);
    await quiet();
    expect(api.counts).toEqual({ "no route": 1 });
  });

  it("drops what is refused and says so once", async () => {
    api.error = refused({ status: 403, headers: {}, body: "" });
    for (let index = 0; index < 3; index += 1) failed("no route", `host-${index}`);
    await quiet();
    expect(recorder.dropped).toBe(3);
    expect(recorder.pending).toBe(0);
    expect(lines).toEqual([expect.objectContaining({ msg: "an event was refused", reason: "KubernetesForbidden" })]);
  });

  it("keeps no more in memory than its capacity", async () => {
    start({ capacity: 10 });
    api.error = away();
    for (let index = 0; index < 100; index += 1) failed("no route", `host-${index}`);
    expect(recorder.pending).toBe(10);
    expect(recorder.dropped).toBe(90);
  });

  it("writes two at a time at most", async () => {
    for (let index = 0; index < 30; index += 1) failed("no route", `host-${index}`);
    await recorder.flush(1_000);
    expect(api.stored.size).toBe(30);
    expect(api.mostUnderWay).toBe(2);
  });

  it("has two seconds for the last ones when it ends, and takes none after it", async () => {
    api.error = away();
    failed("no route");
    await quiet();
    const end = recorder[Symbol.asyncDispose]();
    failed("too late");
    await quiet();
    clock.advance(2_000);
    await end;
    expect(recorder.dropped).toBe(2);
    expect(clock.timers).toBe(0);
  });

  it("has nothing left when it ends in order", async () => {
    failed("no route");
    await recorder[Symbol.asyncDispose]();
    expect(api.counts).toEqual({ "no route": 1 });
    expect(clock.timers).toBe(0);
  });
});
