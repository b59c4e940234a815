import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { REPO_LABEL, type ObjectRef } from "../../../../src/kubernetes/objects.ts";
import { StatusWriter } from "../../../../src/kubernetes/store/status-writer.ts";
import type { Make } from "../../../../src/kubernetes/store/write-job.ts";
import { FakeKubeApi, refusal } from "../../../support/fake-kube-api.ts";
import { quiet, recordedLog } from "../../../support/fakes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const A = ref("a");
const NEVER = new AbortController().signal;

describe("the status writer", () => {
  let api: FakeKubeApi;
  let clock: ManualClock;
  let writer: StatusWriter;
  let lines: Record<string, unknown>[];
  let leads: boolean;

  beforeEach(() => {
    api = new FakeKubeApi();
    clock = new ManualClock();
    leads = true;
    const recorded = recordedLog();
    lines = recorded.lines;
    writer = new StatusWriter({ client: api, clock, log: recorded.log, mayWrite: () => leads, inFlight: 4 });
  });

  afterEach(async () => {
    await writer[Symbol.asyncDispose]();
    expect(clock.timers).toBe(0);
  });

  it("makes an object that is not there, then patches its status, with the generation it was made with", async () => {
    await writer.write(A, { state: "Synced" }, { make: makeOf(A) });
    expect(methods()).toEqual(["PATCH a/status", "POST", "PATCH a/status"]);
    expect(api.object("a")).toMatchObject({
      spec: { address: "a" },
      status: { state: "Synced", observedGeneration: 1 },
    });
  });

  it("makes a new object without asking first, and patches one that is there all the same", async () => {
    await writer.write(A, { state: "Synced" }, { make: makeOf(A), isNew: true });
    expect(methods()).toEqual(["POST", "PATCH a/status"]);
    const second = newWriter();
    api.requests.length = 0;
    await second.write(A, { total: 1 }, { make: makeOf(A), isNew: true });
    expect(methods()).toEqual(["POST", "GET a", "PATCH a/status"]);
    expect(api.object("a")!["status"]).toMatchObject({ state: "Synced", total: 1 });
  });

  it("merges by key what comes while a write is under way into one more write", async () => {
    const hold = holding();
    const first = writer.write(A, { n: 0, old: 1 }, { make: makeOf(A), isNew: true });
    await quiet();
    const rest = Array.from({ length: 50 }, (_, n) => writer.write(A, { n, [`k${n % 3}`]: n, old: undefined }));
    expect(writer.pending).toBe(1);
    hold.release();
    await Promise.all([first, ...rest]);
    expect(methods()).toEqual(["POST", "PATCH a/status", "PATCH a/status"]);
    expect(api.object("a")!["status"]).toEqual({ n: 49, k0: 48, k1: 49, k2: 47, observedGeneration: 1 });
    expect(writer.pending).toBe(0);
  });

  it("writes to some objects at a time, and to each object one after the other", async () => {
    const hold = holding();
    const refs = Array.from({ length: 10 }, (_, n) => ref(`host-${n}`));
    const writes = refs.map((each) => writer.write(each, { n: 1 }, { make: makeOf(each), isNew: true }));
    await quiet();
    expect(api.inFlight).toBe(4);
    hold.release();
    await Promise.all(writes);
    expect(api.mostInFlight).toBe(4);
    expect(api.objects.size).toBe(10);
  });

  it("takes removals and writes to one object in their order", async () => {
    await writer.write(A, { n: 1, old: true }, { make: makeOf(A), isNew: true });
    const uid = api.object("a")!.metadata.uid;
    await Promise.all([writer.write(A, { n: 2 }), writer.remove(A), writer.write(A, { n: 3 })]);
    expect(api.object("a")).toMatchObject({ status: { n: 3, observedGeneration: 1 } });
    expect(api.object("a")!["status"]).not.toHaveProperty("old");
    expect(api.object("a")!.metadata.uid).not.toBe(uid);
    await Promise.all([writer.write(A, { n: 4 }), writer.remove(A)]);
    expect(api.object("a")).toBeUndefined();
  });

  it("removes all with a label in order with the writes to each, and leaves the others alone", async () => {
    const [b, other] = [ref("b"), ref("other")];
    const otherMake = makeOf(other, "another");
    await Promise.all([
      writer.write(A, { n: 1 }, { make: makeOf(A), isNew: true }),
      writer.write(other, { n: 1 }, { make: otherMake, isNew: true }),
    ]);
    const hold = holding();
    const all = [
      writer.write(A, { n: 2 }),
      writer.write(b, { n: 2 }, { make: makeOf(b), isNew: true }),
      writer.removeAll("ConfigHost", "ns", `${REPO_LABEL}=files`),
      writer.write(b, { n: 3 }, { make: makeOf(b), isNew: true }),
      writer.write(ref("c"), { n: 3 }, { make: makeOf(ref("c")), isNew: true }),
      writer.write(other, { n: 3 }),
    ];
    await quiet();
    hold.release();
    await Promise.all(all);
    expect(api.object("a")).toBeUndefined();
    expect(api.object("b")).toMatchObject({ status: { n: 3 } });
    expect(api.object("c")).toMatchObject({ status: { n: 3 } });
    expect(api.object("other")).toMatchObject({ status: { n: 3 } });
    expect(writer.pending).toBe(0);
  });

  it("passes over a status for an object that is gone and not its own to make", async () => {
    await writer.write({ ...A, kind: "ConfigRepo" }, { revision: null });
    expect(api.objects.size).toBe(0);
  });

  it("changes parts of the spec ahead of the status, which then names the new generation", async () => {
    await writer.write(A, { n: 1 }, { make: makeOf(A), isNew: true });
    await writer.write(A, { n: 2 }, { make: makeOf(A), spec: { root: "/srv" } });
    expect(api.object("a")).toMatchObject({
      spec: { address: "a", root: "/srv" },
      status: { n: 2, observedGeneration: 2 },
    });
  });

  it("says the generation that a watch saw", async () => {
    await writer.write(A, { n: 1 }, { make: makeOf(A), isNew: true });
    api.touch("a");
    writer.observed(A, { generation: 7, resourceVersion: api.object("a")!.metadata.resourceVersion });
    writer.observed(A, { generation: 6, resourceVersion: "1" });
    await writer.write(A, { n: 2 });
    expect(api.object("a")!["status"]).toMatchObject({ n: 2, observedGeneration: 7 });
    expect(methods().filter((method) => method === "GET a")).toEqual([]);
  });

  describe("when somebody else changed the object", () => {
    it("reads it again and goes on", async () => {
      await writer.write(A, { n: 1 }, { make: makeOf(A), isNew: true });
      api.touch("a");
      await writer.write(A, { n: 2 });
      expect(methods().slice(2)).toEqual(["PATCH a/status", "GET a", "PATCH a/status"]);
      expect(api.object("a")!["status"]).toMatchObject({ n: 2 });
    });

    it("believes what it reads, also when that is older than what it saw: a restored backup", async () => {
      await writer.write(A, { n: 1 }, { make: makeOf(A), isNew: true });
      writer.observed(A, { resourceVersion: "900", generation: 9 });
      await writer.write(A, { n: 2 });
      expect(methods().slice(2)).toEqual(["PATCH a/status", "GET a", "PATCH a/status"]);
      expect(api.object("a")!["status"]).toMatchObject({ n: 2, observedGeneration: 1 });
    });

    it("does not when this process leads no more: a late write overwrites nothing", async () => {
      await writer.write(A, { n: "old" }, { make: makeOf(A), isNew: true });
      const hold = holding();
      const late = writer.write(A, { n: "late" });
      await quiet();
      api.before = () => {};
      const successor = newWriter();
      await successor.write(A, { n: "successor" });
      leads = false;
      hold.release();
      await expect(late).rejects.toMatchObject({ reason: "Interrupted" });
      expect(api.object("a")!["status"]).toMatchObject({ n: "successor" });
    });

    it("makes it anew, whole, when it was deleted", async () => {
      const make: Make = () => ({ ...makeOf(A)(), status: { total: 5, n: 0 } });
      await writer.write(A, { n: 1 }, { make, isNew: true });
      api.objects.clear();
      await writer.write(A, { n: 2 });
      expect(api.object("a")).toMatchObject({
        spec: { address: "a" },
        status: { n: 2, total: 5, observedGeneration: 1 },
      });
    });
  });

  describe("when this process does not lead", () => {
    it("refuses at once, and rejects what waits", async () => {
      const hold = holding();
      const refs = Array.from({ length: 9 }, (_, n) => ref(`host-${n}`));
      const writes = refs.map((each) => writer.write(each, { n: 1 }, { make: makeOf(each), isNew: true }));
      await quiet();
      const gone = writer.removeAll("ConfigHost", "ns", `${REPO_LABEL}=files`);
      const outcomes = Promise.allSettled([...writes, gone]);
      await quiet();
      leads = false;
      const sent = api.requests.length;
      hold.release();
      expect((await outcomes).map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => "rejected"));
      await expect(writer.write(A, {})).rejects.toMatchObject({ reason: "Interrupted" });
      await expect(writer.remove(A)).rejects.toMatchObject({ reason: "Interrupted" });
      expect(api.requests).toHaveLength(sent);
      expect(api.requests.every(({ method }) => method === "POST")).toBe(true);
      expect(writer.pending).toBe(0);
    });

    it("rejects what waits for another try", async () => {
      api.before = () => {
        throw refusal(500);
      };
      const write = writer.write(A, { n: 1 }, { make: makeOf(A), isNew: true });
      const outcome = expect(write).rejects.toMatchObject({ reason: "Interrupted" });
      await quiet();
      leads = false;
      clock.advance(10_000);
      await outcome;
      expect(api.requests).toHaveLength(1);
    });
  });

  describe("when the API server does not take it", () => {
    it("asks a server that does not answer with one request at a time, and loses nothing", async () => {
      let away = true;
      api.before = () => {
        if (away) throw refusal(0, "connect ECONNREFUSED");
      };
      const refs = Array.from({ length: 30 }, (_, n) => ref(`host-${n}`));
      const writes = refs.map((each) => writer.write(each, { n: 1 }, { make: makeOf(each), isNew: true }));
      await quiet();
      const first = api.requests.length;
      expect(first).toBeLessThanOrEqual(4);
      api.mostInFlight = 0;
      for (let second = 0; second < 60; second += 1) {
        clock.advance(1000);
        await quiet();
      }
      expect(api.mostInFlight).toBe(1);
      const probes = api.requests.length - first;
      expect(probes).toBeGreaterThan(8);
      expect(probes).toBeLessThan(25);
      away = false;
      clock.advance(10_000);
      await Promise.all(writes);
      expect(api.objects.size).toBe(30);
      expect(said("the API server does not answer; status is written later")).toHaveLength(1);
      expect(said("the API server answers again")).toHaveLength(1);
    });

    it("tries one object that it fails on later and later, the others go on", async () => {
      let broken = true;
      api.before = ({ path }) => {
        if (broken && path.includes("host-3")) throw refusal(500, "etcdserver: request timed out");
      };
      const refs = Array.from({ length: 10 }, (_, n) => ref(`host-${n}`));
      for (const each of refs) writer.observed(each, {});
      await Promise.all(
        refs.map((each) =>
          api.json("/apis/fssync.dev/v1alpha1/namespaces/ns/confighosts", { method: "POST", body: makeOf(each)() }),
        ),
      );
      const writes = refs.map((each) => writer.write(each, { n: 1 }, { make: makeOf(each) }));
      await Promise.all(writes.filter((_, n) => n !== 3));
      expect(writer.pending).toBe(1);
      const tries = () => api.requests.filter(({ path }) => path.includes("host-3")).length;
      for (let second = 0; second < 60; second += 1) {
        clock.advance(1000);
        await quiet();
      }
      expect(tries()).toBeGreaterThan(8);
      expect(tries()).toBeLessThan(25);
      broken = false;
      clock.advance(10_000);
      await writes[3];
      expect(api.object("host-3")!["status"]).toMatchObject({ n: 1 });
    });

    it("keeps still for as long as it asks for (429)", async () => {
      let busy = true;
      api.before = () => {
        if (busy) throw refusal(429, "too many requests", 7000);
      };
      const refs = Array.from({ length: 10 }, (_, n) => ref(`host-${n}`));
      const writes = refs.map((each) => writer.write(each, { n: 1 }, { make: makeOf(each), isNew: true }));
      await quiet();
      const first = api.requests.length;
      expect(first).toBeLessThanOrEqual(4);
      clock.advance(6900);
      await quiet();
      expect(api.requests).toHaveLength(first);
      busy = false;
      clock.advance(200);
      await Promise.all(writes);
      expect(api.objects.size).toBe(10);
    });

    it.each([403, 413, 422])(
      "says a %i loudly once with what to do, tries slowly and records nothing as done",
      async (code) => {
        let refused = true;
        api.before = () => {
          if (refused) throw refusal(code, "may not");
        };
        const refs = Array.from({ length: 10 }, (_, n) => ref(`host-${n}`));
        let done = 0;
        const writes = refs.map(async (each) => {
          await writer.write(each, { n: 1 }, { make: makeOf(each), isNew: true });
          done += 1;
        });
        await quiet();
        clock.advance(14_000);
        await quiet();
        expect(api.requests).toHaveLength(10);
        clock.advance(30_000);
        await quiet();
        expect(api.requests).toHaveLength(20);
        expect(done).toBe(0);
        const loud = lines.filter(({ level }) => level === 50);
        expect(loud).toHaveLength(1);
        expect(loud[0]).toMatchObject({
          kind: "ConfigHost",
          message: expect.stringContaining(`${code}`),
          next: expect.any(String),
        });
        refused = false;
        clock.advance(300_000);
        await Promise.all(writes);
        expect(done).toBe(10);
      },
    );

    it("takes what comes meanwhile into the same write", async () => {
      let broken = true;
      api.before = () => {
        if (broken) throw refusal(503);
      };
      const first = writer.write(A, { n: 1, first: true }, { make: makeOf(A), isNew: true });
      await quiet();
      const second = writer.write(A, { n: 2 });
      broken = false;
      clock.advance(1000);
      await Promise.all([first, second]);
      expect(methods()).toEqual(["POST", "POST", "PATCH a/status"]);
      expect(api.object("a")!["status"]).toMatchObject({ n: 2, first: true });
    });
  });

  it("flushes what waits, and stops when it is told to", async () => {
    const hold = holding();
    void writer.write(A, { n: 1 }, { make: makeOf(A), isNew: true });
    await quiet();
    const stop = new AbortController();
    const cut = writer.flush(stop.signal);
    stop.abort();
    await cut;
    expect(writer.pending).toBe(1);
    const flushed = writer.flush(NEVER);
    hold.release();
    await flushed;
    expect(writer.pending).toBe(0);
    expect(api.object("a")).toMatchObject({ status: { n: 1 } });
  });

  it("waits at its end for what is under way, and rejects the rest", async () => {
    const hold = holding();
    const refs = Array.from({ length: 6 }, (_, n) => ref(`host-${n}`));
    const writes = Promise.allSettled(refs.map((each) => writer.write(each, {}, { make: makeOf(each), isNew: true })));
    await quiet();
    const ended = writer[Symbol.asyncDispose]();
    hold.release();
    await ended;
    expect(api.inFlight).toBe(0);
    expect((await writes).every(({ status }) => status === "rejected")).toBe(true);
  });

  it("takes a mistake of its own for no outage", async () => {
    const broken = writer.write(
      A,
      { n: 1 },
      {
        isNew: true,
        make: () => {
          throw new TypeError("no such thing");
        },
      },
    );
    broken.catch(() => {});
    await quiet();
    await writer.write(ref("b"), { n: 1 }, { make: makeOf(ref("b")), isNew: true });
    expect(lines.filter(({ level }) => level === 50)).toHaveLength(1);
    expect(writer.pending).toBe(1);
  });

  function newWriter(): StatusWriter {
    return new StatusWriter({ client: api, clock, log: recordedLog().log, mayWrite: () => true });
  }

  /** Keeps all requests waiting until released. */
  function holding(): { release: () => void } {
    const gate = Promise.withResolvers<void>();
    api.before = () => gate.promise;
    return {
      release() {
        api.before = () => {};
        gate.resolve();
      },
    };
  }

  function methods(): string[] {
    return api.requests.map(({ method, path }) => `${method} ${path.split("/").slice(7).join("/")}`.trim());
  }

  function said(msg: string) {
    return lines.filter((line) => line["msg"] === msg);
  }
});

function ref(name: string): ObjectRef {
  return { kind: "ConfigHost", namespace: "ns", name };
}

function makeOf({ name, namespace }: ObjectRef, repo = "files"): Make {
  const metadata = { name, namespace, labels: { [REPO_LABEL]: repo } };
  return () => ({ apiVersion: "fssync.dev/v1alpha1", kind: "ConfigHost", metadata, spec: { address: name } });
}
