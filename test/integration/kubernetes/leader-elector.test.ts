import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import type { KubeClient } from "../../../src/kubernetes/client.ts";
import { LeaderElector, type LeaderElectorOptions } from "../../../src/kubernetes/leader-elector.ts";
import type { Lease, LeaseSpec } from "../../../src/kubernetes/lease.ts";
import type { Term } from "../../../src/kubernetes/term.ts";
import { until } from "../../support/fleet.ts";
import { Gate } from "../../support/kube/gate.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import { recordingLogger, type LogLine } from "../../support/log-lines.ts";

const DEADLINE = 20_000;
const QUICK = { leaseDuration: 3_000, renewDeadline: 2_000, retryPeriod: 300 };

interface Interval {
  readonly identity: string;
  readonly from: number;
  /** When its work was told to end, or had ended; Infinity while it leads. */
  to: number;
}

interface Candidate {
  readonly elector: LeaderElector;
  readonly lines: LogLine[];
  readonly stop: AbortController;
  readonly ended: Promise<void>;
  term: Term | undefined;
  /** Set by a test: how its leader drains. */
  drain: () => Promise<void>;
}

describeOwnKube("leader election", () => {
  let kube: Kube;
  let namespace: string;
  let candidates: Candidate[];
  let intervals: Interval[];

  beforeAll(async () => {
    kube = await startKube();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    namespace = await kube.createNamespace();
    candidates = [];
    intervals = [];
  });
  afterEach(async () => {
    for (const { stop } of candidates) stop.abort();
    await Promise.all(candidates.map(({ ended }) => ended));
    // Whatever happened in a test: never two at a time.
    const inOrder = intervals.toSorted((a, b) => a.from - b.from);
    for (const [index, { to, identity }] of inOrder.entries()) {
      const next = inOrder[index + 1];
      if (next) expect(next.from, `${identity} until ${to}, then ${next.identity}`).toBeGreaterThanOrEqual(to);
    }
  });

  function campaign(
    client: KubeClient = kube.client(),
    { api, ...options }: Partial<LeaderElectorOptions> & { api?: string } = QUICK,
  ): Candidate {
    const { log, lines } = recordingLogger();
    const identity = `c${candidates.length}`;
    const elector = new LeaderElector({ client, namespace, identity, clock: systemClock, log, ...options });
    const stop = new AbortController();
    const candidate: Candidate = {
      elector,
      lines,
      stop,
      term: undefined,
      drain: async () => {},
      ended: elector.run({ signal: stop.signal, lead, api }),
    };
    async function lead(term: Term): Promise<void> {
      candidate.term = term;
      const interval: Interval = { identity: elector.identity, from: performance.now(), to: Infinity };
      intervals.push(interval);
      const { promise, resolve } = Promise.withResolvers<void>();
      stop.signal.addEventListener("abort", () => resolve(), { once: true });
      term.signal.addEventListener("abort", () => {
        interval.to = Math.min(interval.to, performance.now());
        resolve();
      });
      await promise;
      await candidate.drain();
      interval.to = Math.min(interval.to, performance.now());
      candidate.term = undefined;
    }
    candidates.push(candidate);
    return candidate;
  }

  async function leaderOtherThan(...others: (Candidate | undefined)[]): Promise<Candidate> {
    const leading = () => candidates.find((each) => each.term?.valid() && !others.includes(each));
    await until(() => leading() !== undefined, DEADLINE, "a leader");
    return leading()!;
  }

  const path = () => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/fssync-controller`;
  async function lease(): Promise<LeaseSpec> {
    return ((await kube.client().json(path())) as Lease).spec!;
  }

  test("who follows knows where the API of the one who leads is, and forgets it when that one goes", async () => {
    const urls = ["http://10.0.0.1:8080", "https://[fd00::2]:8080"];
    const [one, two] = urls.map((api) => campaign(kube.client(), { ...QUICK, api }));
    const first = await leaderOtherThan();
    const second = first === one ? two! : one!;
    const [ofFirst, ofSecond] = first === one ? urls : urls.toReversed();
    await until(() => second.elector.leaderApi === ofFirst, DEADLINE, "the follower to know");
    expect(first.elector.leaderApi).toBeUndefined();

    // Somebody else's annotations stay.
    await kube.kubectl(["-n", namespace, "annotate", "lease", "fssync-controller", "example.com/note=kept"]);
    first.stop.abort();
    await first.ended;
    await leaderOtherThan(first);
    await until(async () => (await annotations())["fssync.dev/api"] === ofSecond, DEADLINE, "the new leader to tell");
    expect(await annotations()).toMatchObject({ "example.com/note": "kept" });
    expect(second.elector.leaderApi).toBeUndefined();
    second.stop.abort();
    await second.ended;
    expect(await annotations()).not.toHaveProperty("fssync.dev/api");

    async function annotations(): Promise<Readonly<Record<string, string>>> {
      return ((await kube.client().json(path())) as Lease).metadata.annotations ?? {};
    }
  });

  test("one of three leads, renews, and gives up its Lease only when it has drained", async () => {
    for (let index = 0; index < 3; index++) campaign();
    const first = await leaderOtherThan();
    const acquired = await lease();
    expect(acquired).toMatchObject({
      holderIdentity: first.elector.identity,
      leaseDurationSeconds: 3,
      leaseTransitions: 0,
    });
    let renewals = 0;
    first.term!.onRenewed(() => renewals++);
    await until(() => renewals >= 2, DEADLINE, "two renewals");
    expect(first.term!.remaining()).toBeGreaterThan(0);
    expect(await lease()).toMatchObject({ acquireTime: acquired.acquireTime!, leaseTransitions: 0 });
    expect((await lease()).renewTime! > acquired.renewTime!).toBe(true);
    await until(
      () => candidates.every(({ elector }) => elector.leader === first.elector.identity),
      DEADLINE,
      "all know",
    );
    expect(intervals).toHaveLength(1);

    // Longer than the Lease lasts: it is renewed while the leader drains, so nobody takes it.
    const before = (await lease()).renewTime!;
    const term = first.term!;
    first.drain = () => until(async () => renewals >= 15, DEADLINE, "a long drain");
    first.stop.abort();
    await first.ended;
    expect(term.signal.aborted).toBe(false);
    expect(first.lines.map(({ msg }) => msg)).toContain("the Lease was released");
    const second = await leaderOtherThan(first);
    expect((await lease()).leaseTransitions).toBe(1);
    expect((await lease()).renewTime! > before).toBe(true);
    expect(second.lines.map(({ msg }) => msg)).toContain("this instance leads");
    expect(intervals).toHaveLength(2);
  });

  test("after a release the next one leads within 3 s at the default times", async () => {
    const first = campaign(kube.client(), {});
    await leaderOtherThan();
    const second = campaign(kube.client(), {});
    await until(() => second.elector.leader === first.elector.identity, DEADLINE, "the second to follow");
    const released = performance.now();
    first.stop.abort();
    await leaderOtherThan(first);
    expect(performance.now() - released).toBeLessThan(3_000);
  });

  test("a leader that is cut off stops in time, and the next one takes over after the Lease's time", async () => {
    await using gate = await Gate.open(kube.url);
    const lonely = campaign(kube.client(gate.kubeconfig(kube.kubeconfig)));
    await leaderOtherThan();
    const other = campaign();
    await until(() => other.elector.leader === lonely.elector.identity, DEADLINE, "the other to follow");
    const cut = performance.now();
    gate.shut();
    await leaderOtherThan(lonely);
    expect(performance.now() - cut).toBeLessThan(QUICK.leaseDuration + 5_000);
    expect(intervals[0]!.to - cut).toBeLessThan(QUICK.leaseDuration);
    gate.reopen();
    await until(() => lonely.elector.leader === other.elector.identity, DEADLINE, "the old leader to follow");
    expect(lonely.term).toBeUndefined();
    lonely.stop.abort();
    await lonely.ended;
  });

  test("nobody leads while the API server is away, somebody does when it is back", async () => {
    for (let index = 0; index < 2; index++) campaign();
    const first = await leaderOtherThan();
    const term = first.term!;
    const away = performance.now();
    await kube.stopApiServer();
    await until(() => term.signal.aborted, DEADLINE, "the term to end");
    expect(performance.now() - away).toBeLessThan(QUICK.leaseDuration);
    expect(term.valid()).toBe(false);
    expect(candidates.some((each) => each.term?.valid())).toBe(false);
    await kube.startApiServer();
    await leaderOtherThan();
  });

  test("an API server that hangs ends the term in time, too", async () => {
    const first = campaign();
    await leaderOtherThan();
    const term = first.term!;
    const hung = performance.now();
    kube.pauseApiServer();
    try {
      await until(() => term.signal.aborted, DEADLINE, "the term to end");
      expect(performance.now() - hung).toBeLessThan(QUICK.leaseDuration);
    } finally {
      kube.resumeApiServer();
    }
    await leaderOtherThan();
  });

  test("a stolen Lease is noticed at once, and won back when the thief lets it expire", async () => {
    const first = campaign(kube.client(), {});
    await leaderOtherThan();
    const term = first.term!;
    await until(() => first.elector.leader === first.elector.identity, DEADLINE, "the leader to know itself");
    const stolen = performance.now();
    const spec = { holderIdentity: "thief", leaseDurationSeconds: 1 };
    await kube.client().json(path(), { method: "PATCH", mergePatch: true, body: { spec } });
    await until(() => term.signal.aborted, DEADLINE, "the theft to be noticed");
    // Sooner than the next renewal, which is two seconds after the last one.
    expect(performance.now() - stolen).toBeLessThan(1_900);
    await leaderOtherThan();
    expect(performance.now() - stolen).toBeGreaterThan(1_000);
    expect(await lease()).toMatchObject({ holderIdentity: first.elector.identity, leaseTransitions: 1 });
  });

  test("a Lease that somebody deletes does not make two leaders", async () => {
    for (let index = 0; index < 3; index++) campaign();
    const first = await leaderOtherThan();
    await until(
      () => candidates.every(({ elector }) => elector.leader === first.elector.identity),
      DEADLINE,
      "all know",
    );
    const term = first.term!;
    await kube.client().json(path(), { method: "DELETE" });
    await until(() => term.signal.aborted, DEADLINE, "the deletion to be noticed");
    await leaderOtherThan();
  });

  test("a work that fails while it leads ends the campaign with its error, and the Lease", async () => {
    const { log } = recordingLogger();
    const identity = "broken";
    const elector = new LeaderElector({ client: kube.client(), namespace, identity, clock: systemClock, log });
    const lead = async () => {
      throw new Error("a mistake");
    };
    await expect(elector.run({ signal: new AbortController().signal, lead })).rejects.toThrow("a mistake");
    expect((await lease()).holderIdentity).toBe("");
  });
});
