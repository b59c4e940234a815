import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import type { KubeClient } from "../../../src/kubernetes/client.ts";
import { EventRecorder } from "../../../src/kubernetes/events.ts";
import { RepoEvents } from "../../../src/kubernetes/repo-events.ts";
import { recordedLog } from "../../support/fakes.ts";
import { until } from "../../support/fleet.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";

const DEADLINE = 20_000;

describeOwnKube("events on an API server", () => {
  let kube: Kube;
  let client: KubeClient;
  let namespace: string;
  let recorder: EventRecorder;
  let lines: Record<string, unknown>[];

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());

  beforeEach(async () => {
    client = kube.client();
    namespace = await kube.createNamespace();
    recorder = open(client);
  });
  afterEach(() => recorder[Symbol.asyncDispose]());

  function open(through: KubeClient): EventRecorder {
    const recorded = recordedLog();
    lines = recorded.lines;
    return new EventRecorder({ client: through, clock: systemClock, log: recorded.log });
  }

  function failed(message: string, name = "files.10.0.0.1"): void {
    recorder.event({ kind: "ConfigHost", namespace, name, uid: "u-1" }, "Warning", "SyncFailed", message);
  }

  async function events(): Promise<{ message: string; count: number; name: string }[]> {
    const { items } = await client.core.listNamespacedEvent({ namespace });
    return items.map(({ message, count, metadata }) => ({ message: message!, count: count!, name: metadata.name! }));
  }

  test("kubectl shows what happened and how often", async () => {
    failed("no route");
    await recorder.flush(DEADLINE);
    for (let time = 0; time < 3; time += 1) failed("no route");
    await recorder.flush(DEADLINE);
    const columns = [
      "TYPE:.type",
      "REASON:.reason",
      "COUNT:.count",
      "FROM:.source.component",
      "BY:.reportingComponent",
    ];
    const wide = await kube.kubectl(["get", "events", "-n", namespace, "-o", `custom-columns=${columns.join(",")}`]);
    expect(wide.split("\n")[1]?.trim().split(/\s+/)).toEqual(["Warning", "SyncFailed", "4", "fssync", "fssync"]);
    const told = await kube.kubectl(["events", "-n", namespace]);
    expect(told).toMatch(/\(x4 over .*\)\s+Warning\s+SyncFailed\s+ConfigHost\/files\.10\.0\.0\.1\s+no route/);
  });

  test("kubectl describe shows them below their object", async () => {
    const spec = { git: { url: "https://a.example/b.git" }, inventory: { static: [] } };
    const document = { apiVersion: "fssync.dev/v1alpha1", kind: "ConfigRepo", metadata: { name: "files" }, spec };
    await kube.kubectl(["apply", "-n", namespace, "-f", "-"], { input: JSON.stringify(document) });
    const uid = await kube.kubectl(["get", "crepo", "files", "-n", namespace, "-o", "jsonpath={.metadata.uid}"]);
    recorder.event({ kind: "ConfigRepo", namespace, name: "files", uid }, "Normal", "NewRevision", "main@sha1:abc");
    await recorder.flush(DEADLINE);
    const described = await kube.kubectl(["describe", "crepo", "files", "-n", namespace]);
    expect(described).toMatch(/Normal\s+NewRevision\s+\S+\s+fssync\s+main@sha1:abc/);
  });

  test("kubectl describe of a host shows what was changed there by hand", async () => {
    const spec = { repoRef: { name: "files" }, address: "10.0.0.1", port: 22 };
    const document = {
      apiVersion: "fssync.dev/v1alpha1",
      kind: "ConfigHost",
      metadata: { name: "files.10.0.0.1" },
      spec,
    };
    await kube.kubectl(["apply", "-n", namespace, "-f", "-"], { input: JSON.stringify(document) });
    const uid = await kube.kubectl([
      "get",
      "chost",
      "files.10.0.0.1",
      "-n",
      namespace,
      "-o",
      "jsonpath={.metadata.uid}",
    ]);
    const repo = { namespace, name: "files", uid: "u-1" };
    const repoEvents = new RepoEvents({
      repo,
      uidOf: (name) => (name === "files.10.0.0.1" ? uid : undefined),
      sink: recorder,
    });
    repoEvents.record(
      { host: "10.0.0.1:22" },
      "Warning",
      "ConfigDriftDetected",
      "nginx/prod/web: etc/app.conf content",
    );
    await recorder.flush(DEADLINE);
    const described = await kube.kubectl(["describe", "chost", "files.10.0.0.1", "-n", namespace]);
    expect(described).toMatch(
      /Warning\s+ConfigDriftDetected\s+\S+\s+fssync\s+nginx\/prod\/web: etc\/app\.conf content/,
    );
  });

  test("many messages end in one event that is combined", async () => {
    for (let index = 1; index <= 20; index += 1) failed(`file ${index}`);
    await recorder.flush(DEADLINE);
    const told = await events();
    expect(told).toHaveLength(11);
    expect(told).toContainEqual(
      expect.objectContaining({ message: "(combined from similar events): file 20", count: 10 }),
    );
  });

  test("the longest names and messages, and control characters, are taken", async () => {
    const name = `${"a".repeat(226)}.${"b".repeat(26)}`;
    failed(`\u001b[31m\n${"日".repeat(2000)}`, name);
    await recorder.flush(DEADLINE);
    const [event] = await events();
    expect(event!.message).toMatch(/^\\x1b\[31m\\x0a日+…$/);
    expect(Buffer.byteLength(event!.message)).toBeLessThanOrEqual(1024);
    expect(recorder.dropped).toBe(0);
  });

  test("an event that is gone is made anew and counts on", async () => {
    failed("no route");
    await recorder.flush(DEADLINE);
    const [{ name } = { name: "" }] = await events();
    await client.core.deleteNamespacedEvent({ namespace, name });
    failed("no route");
    await recorder.flush(DEADLINE);
    expect(await events()).toEqual([{ message: "no route", count: 2, name }]);
  });

  test("a ServiceAccount that may not write them is told once, with what it lacks", async () => {
    await recorder[Symbol.asyncDispose]();
    recorder = open(kube.client(await kube.token("poor", namespace)));
    failed("no route");
    failed("no route", "files.10.0.0.2");
    await recorder.flush(DEADLINE);
    expect(recorder.dropped).toBe(2);
    expect(lines).toEqual([
      expect.objectContaining({
        msg: "an event was refused",
        message: expect.stringContaining(
          `ServiceAccount ${namespace}/poor may not create events in namespace ${namespace}`,
        ),
      }),
    ]);
  });

  test("an API server that was away for a short while gets them, with their counts", async () => {
    failed("before");
    await recorder.flush(DEADLINE);
    await kube.stopApiServer();
    failed("before");
    failed("meanwhile");
    await until(() => lines.length > 0, DEADLINE, "the outage to be noticed");
    failed("meanwhile");
    await kube.startApiServer();
    await recorder.flush(DEADLINE);
    const told = await events();
    expect(told.map(({ message, count }) => `${message} ${count}`).sort()).toEqual(["before 2", "meanwhile 2"]);
    expect(lines.map(({ msg }) => msg)).toEqual(["events cannot be recorded now", "events are recorded again"]);
  });
});
