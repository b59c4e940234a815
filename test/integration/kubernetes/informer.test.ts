import type { V1Secret } from "@kubernetes/client-node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { KubeClient, type JsonRequest } from "../../../src/kubernetes/client.ts";
import { Informer, type InformerOptions } from "../../../src/kubernetes/informer.ts";
import { until } from "../../support/fleet.ts";
import { Gate } from "../../support/kube/gate.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import { recordingLogger, WARN, type LogLine } from "../../support/log-lines.ts";

const DEADLINE = 15_000;

type Data = Record<string, string>;
interface Change {
  readonly key: string;
  readonly now: Data | undefined;
  readonly before: Data | undefined;
}

describeOwnKube("an informer", () => {
  let kube: Kube;
  let client: KubeClient;
  let namespace: string;
  let ended: AbortController;
  let running: Promise<void>[];

  beforeAll(async () => {
    kube = await startKube();
    client = kube.client();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    namespace = await kube.createNamespace();
    ended = new AbortController();
    running = [];
  });
  afterEach(async () => {
    ended.abort();
    await Promise.all(running);
  });

  function watch(options: Partial<InformerOptions<Data>> = {}) {
    const { log, lines } = recordingLogger();
    const changes: Change[] = [];
    const informer = new Informer<Data>({
      client,
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      keep: (object) => (object as V1Secret).data ?? {},
      changed: (key, now, before) => void changes.push({ key, now, before }),
      clock: systemClock,
      log,
      name: "test",
      ...options,
    });
    running.push(informer.run(ended.signal));
    return { informer, changes, lines };
  }

  async function create(name: string, data: Data = {}): Promise<void> {
    await client.core.createNamespacedConfigMap({ namespace, body: { metadata: { name }, data } });
  }

  async function remove(name: string): Promise<void> {
    await client.core.deleteNamespacedConfigMap({ namespace, name });
  }

  const loud = (lines: readonly LogLine[]) => lines.filter(({ level }) => level >= WARN);
  const seen = (informer: Informer<Data>, name: string) =>
    until(() => informer.cache.has(`${namespace}/${name}`), DEADLINE, `${name} to be seen`);

  test("tells what was there, what comes, what changes and what goes, each once", async () => {
    await create("first", { a: "1" });
    const { informer, changes, lines } = watch();
    await informer.synced;
    expect(changes).toEqual([{ key: `${namespace}/first`, now: { a: "1" }, before: undefined }]);
    await create("second");
    await client.core.replaceNamespacedConfigMap({
      namespace,
      name: "first",
      body: { metadata: { name: "first" }, data: { a: "2" } },
    });
    await remove("second");
    await until(() => changes.length === 4, DEADLINE, "four changes");
    expect(changes.slice(1)).toEqual([
      { key: `${namespace}/second`, now: {}, before: undefined },
      { key: `${namespace}/first`, now: { a: "2" }, before: { a: "1" } },
      { key: `${namespace}/second`, now: undefined, before: {} },
    ]);
    expect([...informer.cache]).toEqual([[`${namespace}/first`, { a: "2" }]]);
    expect(informer.stale).toBeLessThan(DEADLINE);
    expect(loud(lines)).toEqual([]);
  });

  test("reads 1,200 objects in pages, and again without a word when nothing changed", async () => {
    const names = Array.from({ length: 1200 }, (_, index) => `n-${index}`);
    await Promise.all(names.map((name) => create(name)));
    const pages: JsonRequest[] = [];
    class Counting extends KubeClient {
      override async json(path: string, asked?: JsonRequest): Promise<unknown> {
        pages.push(asked ?? {});
        return await super.json(path, asked);
      }
    }
    await using counting = new Counting({ config: kube.client().config });
    const { informer, changes } = watch({ client: counting, limits: { watch: 1000, resync: 1 } });
    await informer.synced;
    expect(changes).toHaveLength(1200);
    expect(pages.map(({ query }) => query?.["limit"])).toEqual([500, 500, 500]);
    await until(() => pages.length >= 6, DEADLINE, "a resync");
    await create("late");
    await seen(informer, "late");
    expect(changes).toHaveLength(1201);
    ended.abort();
    await Promise.all(running);
  });

  test("lists anew when its place in a list has expired", async () => {
    for (const name of ["a", "b", "c"]) await create(name);
    let compactions = 0;
    class Slow extends KubeClient {
      override async json(path: string, asked?: JsonRequest): Promise<unknown> {
        const list = await super.json(path, asked);
        if (compactions++ === 0) {
          await remove("a");
          await kube.compact();
        }
        return list;
      }
    }
    await using slow = new Slow({ config: kube.client().config });
    const { informer, changes, lines } = watch({ client: slow, limits: { page: 1 } });
    await informer.synced;
    expect([...informer.cache.keys()]).toEqual([`${namespace}/b`, `${namespace}/c`]);
    expect(changes.at(-1)).toEqual({ key: `${namespace}/a`, now: undefined, before: {} });
    expect(lines.map(({ msg }) => msg)).toContain("the API server has forgotten our version; listing anew");
    expect(loud(lines)).toEqual([]);
    ended.abort();
    await Promise.all(running);
  });

  test("a handler or a reader that throws is logged and stops nothing", async () => {
    const { informer, lines } = watch({
      changed: () => {
        throw new Error("a mistake in a handler");
      },
      keep: ({ metadata }) => {
        if (metadata?.name === "bad") throw new Error("not readable");
        return {};
      },
    });
    await informer.synced;
    await create("bad");
    await create("good");
    await seen(informer, "good");
    expect([...informer.cache.keys()]).toEqual([`${namespace}/good`]);
    expect(loud(lines).map(({ msg, key }) => [msg, key])).toEqual([
      ["an object could not be read; it is left out", `${namespace}/bad`],
      ["a change of an object could not be handled", `${namespace}/good`],
    ]);
  });

  test("watches one Secret by its name, and Leases", async () => {
    const secret = (name: string, value: string) => ({
      metadata: { name },
      data: { token: Buffer.from(value).toString("base64") },
    });
    const secrets = watch({
      path: `/api/v1/namespaces/${namespace}/secrets`,
      query: { fieldSelector: "metadata.name=mine" },
    });
    const leases = watch({ path: `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases` });
    await Promise.all([secrets.informer.synced, leases.informer.synced]);
    await client.core.createNamespacedSecret({ namespace, body: secret("other", "x") });
    await client.core.createNamespacedSecret({ namespace, body: secret("mine", "one") });
    await client.core.replaceNamespacedSecret({ namespace, name: "mine", body: secret("mine", "two") });
    await until(() => secrets.changes.length === 2, DEADLINE, "the rotation");
    expect(secrets.changes.map(({ now }) => Buffer.from(now!["token"]!, "base64").toString())).toEqual(["one", "two"]);
    expect([...secrets.informer.cache.keys()]).toEqual([`${namespace}/mine`]);
    await client.coordination.createNamespacedLease({ namespace, body: { metadata: { name: "lease" } } });
    await seen(leases.informer, "lease");
  });

  test("goes on after the API server was killed and started again; says so once", async () => {
    const { informer, changes, lines } = watch({ limits: { firstRetry: 20, lastRetry: 100 } });
    await informer.synced;
    await kube.stopApiServer();
    await until(() => lines.filter(({ msg }) => msg.endsWith("still")).length > 3, DEADLINE, "several tries");
    await kube.startApiServer();
    await create("after");
    await seen(informer, "after");
    expect(changes).toHaveLength(1);
    expect(loud(lines).map(({ msg, reason }) => [msg, reason])).toEqual([
      ["the API server cannot be asked; trying on", "KubernetesUnavailable"],
    ]);
    expect(lines.filter(({ msg }) => msg === "the API server answers again")).toHaveLength(1);
  });

  test("finds a deletion that it missed when etcd has forgotten it (410)", async () => {
    await using gate = await Gate.open(kube.url);
    for (const name of ["stays", "goes"]) await create(name);
    const through = kube.client(gate.kubeconfig(kube.kubeconfig));
    const { informer, changes, lines } = watch({ client: through, limits: { firstRetry: 20, lastRetry: 100 } });
    await informer.synced;
    gate.shut();
    await remove("goes");
    await create("comes");
    await kube.compact();
    // The API server remembers some of the past by itself; a new one does not.
    await kube.stopApiServer();
    await kube.startApiServer();
    expect(changes).toHaveLength(2);
    gate.reopen();
    await until(() => changes.length === 4, DEADLINE, "what was missed");
    expect(changes.slice(2)).toEqual([
      { key: `${namespace}/comes`, now: {}, before: undefined },
      { key: `${namespace}/goes`, now: undefined, before: {} },
    ]);
    expect(lines.map(({ msg }) => msg)).toContain("the API server has forgotten our version; listing anew");
    await create("later");
    await seen(informer, "later");
  });

  test("an API server that hangs is noticed by its silence", async () => {
    const { informer, lines } = watch({ limits: { silence: 300, request: 300, firstRetry: 20, lastRetry: 100 } });
    await informer.synced;
    kube.pauseApiServer();
    try {
      await until(() => loud(lines).length > 0, DEADLINE, "the silence to be noticed");
      expect(loud(lines)[0]).toMatchObject({ reason: "KubernetesUnavailable" });
      expect(informer.stale).toBeGreaterThan(300);
    } finally {
      kube.resumeApiServer();
    }
    await create("after");
    await seen(informer, "after");
  });

  test("an abort ends it at once, watching or waiting, and its connection", async () => {
    await using gate = await Gate.open(kube.url);
    const through = kube.client(gate.kubeconfig(kube.kubeconfig));
    const { informer, changes } = watch({ client: through });
    await informer.synced;
    await until(() => gate.connections === 2, DEADLINE, "the list's and the watch's connection");
    const aborted = performance.now();
    ended.abort();
    await Promise.all(running);
    expect(performance.now() - aborted).toBeLessThan(500);
    await until(() => gate.connections === 1, DEADLINE, "the watch's connection to end");
    await create("unheard");
    await through[Symbol.asyncDispose]();
    await until(() => gate.connections === 0, DEADLINE, "all connections to end");
    expect(changes).toEqual([]);

    ended = new AbortController();
    gate.shut();
    const { lines } = watch({ client: kube.client(gate.kubeconfig(kube.kubeconfig)), limits: { firstRetry: 20_000 } });
    await until(() => loud(lines).length === 1, DEADLINE, "a failure");
    ended.abort();
    await running.at(-1);
  });
});
