import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { apiError } from "../../../src/kubernetes/api-error.ts";
import type { KubeClient } from "../../../src/kubernetes/client.ts";
import {
  configAppName,
  configHostName,
  GROUP,
  REPO_LABEL,
  VERSION,
  type RepoRef,
  type Resource,
} from "../../../src/kubernetes/objects.ts";
import type { AppKey } from "../../../src/model/app.ts";
import type { AppRecord, DesiredRecord, HostRecord } from "../../../src/model/record.ts";
import { makeFailure, makeRecord, revisionOf } from "../../support/factories.ts";
import { until } from "../../support/fleet.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import { newRepo, openStore } from "./store-rig.ts";

const WEB: AppKey = "nginx/prod/web";
const R1 = revisionOf("1");
const R2 = revisionOf("2");
const NEVER = new AbortController().signal;

describeOwnKube("the status store and an API server in trouble", () => {
  let kube: Kube;
  let client: KubeClient;

  beforeAll(async () => {
    kube = await startKube();
    client = kube.client();
    await kube.applyCrds();
  });

  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
  });

  it("takes saves while it is away, begins after a short wait, and has all of it when it is back", async () => {
    const repo = await newRepo(kube, client);
    await using rig = openStore(client, { files: repo }, { patience: 300 });
    const { store, writer } = rig;
    await store.save("files", { apps: desired("d1", R1), hosts: hosts(20, synced("d1", R1)) });
    await writer.flush(NEVER);

    await kube.stopApiServer();
    await store.save("files", { apps: desired("d2", R2) });
    const began = performance.now();
    const begun = { ...synced("d1", R1), unfinished: [R2] };
    await Promise.all([...hosts(20, begun).values()].map((host) => store.begin("files", host, new Set([WEB]))));
    const waited = performance.now() - began;
    expect(waited).toBeGreaterThanOrEqual(290);
    expect(waited).toBeLessThan(2000);
    for (const [key, host] of hosts(20, synced("d2", R2))) await store.save("files", { hosts: new Map([[key, host]]) });
    expect(writer.pending).toBe(21);
    await kube.startApiServer();
    await writer.flush(AbortSignal.timeout(20_000));
    expect(writer.pending).toBe(0);

    await using next = openStore(client, { files: repo });
    const loaded = await next.store.load("files");
    expect(loaded.hosts).toEqual(hosts(20, synced("d2", R2)));
    expect(loaded.apps).toEqual(desired("d2", R2));
    expect(rig.lines.filter(({ msg }) => String(msg).startsWith("syncs go on without"))).toHaveLength(1);
    expect(rig.lines.filter(({ msg }) => String(msg).includes("does not answer"))).toHaveLength(1);
    expect(rig.lines.filter(({ msg }) => String(msg).includes("answers again"))).toHaveLength(1);
  });

  it("knows after a crash what was being sent, although no host's record says so", async () => {
    const repo = await newRepo(kube, client);
    await using rig = openStore(client, { files: repo });
    await rig.store.save("files", { apps: desired("d1", R1), hosts: hosts(3, synced("d1", R1)) });
    await rig.writer.flush(NEVER);
    await rig.store.save("files", { apps: desired("d2", R2) });
    for (const host of hosts(2, { ...synced("d1", R1), unfinished: [R2] }).values()) {
      await rig.store.begin("files", host, new Set([WEB]));
    }
    rig.leads = false;

    await using next = openStore(client, { files: repo });
    const loaded = await next.store.load("files");
    for (const { apps } of loaded.hosts.values())
      expect(apps.get(WEB)).toEqual({ ...synced("d1", R1), suspected: [R2] });
    const app = await get(
      client,
      repo,
      "configapps",
      configAppName(repo.name, { mod: "nginx", env: "prod", app: "web" }),
    );
    expect((app.status as { attempts: unknown }).attempts).toEqual([
      { first: 1, last: 1, revision: R2, digest: digest("d2") },
    ]);
  });

  it("is not overwritten by a process that leads no more", async () => {
    const repo = await newRepo(kube, client);
    await using old = openStore(client, { files: repo });
    await old.store.save("files", { hosts: hosts(1, synced("d1", R1)) });
    await old.writer.flush(NEVER);
    // Its next write is under way when the other one takes over.
    const gate = Promise.withResolvers<void>();
    const slow: Pick<KubeClient, "json"> = {
      json: async (path, options) => {
        if (options?.method === "PATCH") await gate.promise;
        return await client.json(path, options);
      },
    };
    await using late = openStore(slow, { files: repo });
    await late.store.load("files");
    await late.store.save("files", { hosts: hosts(1, synced("stale", R1)) });
    await using successor = openStore(client, { files: repo });
    await successor.store.load("files");
    await successor.store.save("files", { hosts: hosts(1, synced("d2", R2)) });
    await successor.writer.flush(NEVER);
    late.leads = false;
    gate.resolve();
    await late.writer.flush(NEVER);
    expect((await successor.store.load("files")).hosts).toEqual(hosts(1, synced("d2", R2)));
    await expect(late.store.save("files", { hosts: hosts(1, synced("stale", R1)) })).rejects.toMatchObject({
      reason: "Interrupted",
    });
  });

  it("keeps what people change, and what they annotate meanwhile is no obstacle", async () => {
    const repo = await newRepo(kube, client);
    await using rig = openStore(client, { files: repo });
    await rig.store.save("files", { hosts: hosts(1, synced("d1", R1)) });
    await rig.writer.flush(NEVER);
    const name = configHostName(repo.name, { address: "10.0.0.1", port: 22 });
    await kube.kubectl(["-n", repo.namespace, "annotate", "confighost", name, "a=b"]);
    await kube.kubectl([
      "-n",
      repo.namespace,
      "patch",
      "confighost",
      name,
      "--type=merge",
      "-p",
      '{"spec":{"suspend":true}}',
    ]);
    const moved = new Map([...hosts(1, synced("d2", R2))].map(([key, host]) => [key, { ...host, root: "/srv" }]));
    await rig.store.save("files", { hosts: moved });
    await rig.writer.flush(NEVER);
    const object = await get(client, repo, "confighosts", name);
    expect(object.spec).toMatchObject({ suspend: true, root: "/srv", address: "10.0.0.1", port: 22 });
    expect(object.status).toMatchObject({ root: "/srv", observedGeneration: object.metadata?.generation });
    expect(object.metadata).toMatchObject({ annotations: { a: "b" } });
    expect((await rig.store.load("files")).hosts).toEqual(moved);
  });

  it("has the columns and conditions that people and tools read", async () => {
    const repo = await newRepo(kube, client);
    await using rig = openStore(client, { files: repo });
    const failed = { ...makeRecord(null), failure: makeFailure({ message: "no space left on device" }) };
    await rig.store.save("files", {
      apps: desired("d1", R1),
      hosts: new Map([...hosts(2, synced("d1", R1)), ["10.0.0.2:22", host("10.0.0.2", failed)]]),
    });
    await rig.writer.flush(NEVER);
    const table = await kube.kubectl(["-n", repo.namespace, "get", "confighosts"]);
    expect(table).toMatch(/10\.0\.0\.1 +1 +1 +Synced +\d/);
    expect(table).toMatch(/10\.0\.0\.2 +1 +0 +Failed/);
    const waits = ["wait", "confighosts", "--timeout=5s", "-n", repo.namespace];
    await kube.kubectl([
      ...waits,
      "--for=condition=Ready",
      configHostName(repo.name, { address: "10.0.0.1", port: 22 }),
    ]);
    await expect(
      kube.kubectl([
        ...waits.with(2, "--timeout=1s"),
        "--for=condition=Ready",
        configHostName(repo.name, { address: "10.0.0.2", port: 22 }),
      ]),
    ).rejects.toThrow();
  });

  it("counts a status that somebody broke as never synced, and says which", async () => {
    const repo = await newRepo(kube, client);
    await using rig = openStore(client, { files: repo });
    await rig.store.save("files", { apps: desired("d1", R1), hosts: hosts(3, synced("d1", R1)) });
    await rig.writer.flush(NEVER);
    const name = configHostName(repo.name, { address: "10.0.0.2", port: 22 });
    const path = `${pathOf(repo, "confighosts", name)}/status`;
    await client.json(path, {
      method: "PATCH",
      mergePatch: true,
      body: { status: { apps: [{ app: '"broken', state: "Synced" }] } },
    });
    const loaded = await rig.store.load("files");
    expect(loaded.hosts.get("10.0.0.2:22")?.apps).toEqual(new Map());
    expect(loaded.hosts.get("10.0.0.3:22")).toEqual(hosts(3, synced("d1", R1)).get("10.0.0.3:22"));
    expect(rig.lines.filter(({ level }) => level === 50)).toMatchObject([{ kind: "ConfigHost", name }]);
    await rig.store.save("files", { hosts: hosts(3, synced("d2", R2)) });
    expect((await rig.store.load("files")).hosts).toEqual(hosts(3, synced("d2", R2)));
  });

  it("adopts an object that a user made in advance, and leaves another ConfigRepo's alone", async () => {
    const repo = await newRepo(kube, client);
    const names = ["10.0.0.1", "10.0.0.2"].map((address) => configHostName(repo.name, { address, port: 22 }));
    for (const [n, name] of names.entries()) {
      const spec = { repoRef: { name: n === 0 ? repo.name : "other" }, address: `10.0.0.${n + 1}`, port: 22 };
      const body = {
        apiVersion: `${GROUP}/${VERSION}`,
        kind: "ConfigHost",
        metadata: { name },
        spec: { ...spec, root: "/old", suspend: true },
      };
      await client.json(pathOf(repo, "confighosts", ""), { method: "POST", body });
    }
    await using rig = openStore(client, { files: repo });
    await rig.store.save("files", { hosts: hosts(2, synced("d1", R1)) });
    const loud = () => rig.lines.filter(({ level }) => level === 50);
    await until(() => loud().length > 0, 5000, "the foreign object to be named");
    await until(() => rig.writer.pending === 1, 5000, "the other one to be written");
    expect(loud()).toMatchObject([
      { object: `${repo.namespace}/${names[1]}`, message: expect.stringContaining("other") },
    ]);
    expect(await get(client, repo, "confighosts", names[0]!)).toMatchObject({
      metadata: { labels: { [REPO_LABEL]: repo.name }, ownerReferences: [{ uid: repo.uid, controller: true }] },
      spec: { suspend: true, root: "/" },
      status: { state: "Pending" },
    });
    expect(await get(client, repo, "confighosts", names[1]!)).not.toHaveProperty("status");
    await using next = openStore(client, { files: repo });
    expect((await next.store.load("files")).hosts).toEqual(hosts(1, synced("d1", R1)));
  });

  it("reads a repo of which one object is refused, with what waits for it", async () => {
    const repo = await newRepo(kube, client);
    await using rig = openStore(client, { files: repo });
    const refused = makeFailure({ attempts: 3 });
    await rig.store.save("files", { hosts: hosts(3, synced("d1", R1)) });
    await rig.writer.flush(NEVER);
    const second: HostRecord = host("10.0.0.2", { ...synced("d1", R1), failure: { ...refused, attempts: -1 } });
    await rig.store.save("files", { hosts: new Map([[second.key, second]]) });
    await until(() => rig.lines.some(({ level }) => level === 50), 5000, "the refusal");
    const began = performance.now();
    const loaded = await rig.store.load("files");
    expect(performance.now() - began).toBeLessThan(3000);
    expect([...loaded.hosts.keys()].sort()).toEqual(
      [...hosts(3, synced("d1", R1)).keys()].filter((key) => key !== second.key),
    );
    expect(rig.writer.pending).toBe(1);
  });

  it("removes what belonged to a ConfigRepo of the same name before", async () => {
    const old = await newRepo(kube, client);
    await using before = openStore(client, { files: old });
    await before.store.save("files", { apps: desired("d1", R1), hosts: hosts(5, synced("d1", R1)) });
    await before.writer.flush(NEVER);
    const anew: RepoRef = { ...old, uid: "00000000-0000-4000-8000-000000000000" };
    await using rig = openStore(client, { files: anew });
    const loaded = await rig.store.load("files");
    expect(loaded).toEqual({ repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() });
    await rig.writer.flush(NEVER);
    expect(await kube.kubectl(["-n", old.namespace, "get", "confighosts,configapps", "-o", "name"])).toBe("");
  });

  it("says a missing rule once with what to add, and takes nothing for written", async () => {
    const repo = await newRepo(kube, client);
    const kubeconfig = await kube.token("weak", repo.namespace);
    await allow(repo, ["get", "list", "create"]);
    await using rig = openStore(kube.client(kubeconfig), { files: repo });
    await until(async () => await mayList(kube.client(kubeconfig), repo), 5000, "the role to count");
    await rig.store.save("files", { hosts: hosts(5, synced("d1", R1)) });
    const loud = () => rig.lines.filter(({ level }) => level === 50);
    await until(() => loud().length > 0, 5000, "the refusal to be logged");
    expect(loud()).toHaveLength(1);
    expect(loud()[0]).toMatchObject({
      kind: "ConfigHost",
      message: expect.stringMatching(
        /ServiceAccount .*\/weak may not patch confighosts\/status\.fssync\.dev in namespace/,
      ),
    });
    expect(rig.writer.pending).toBe(5);
  });

  it("asks again no sooner than a busy API server wants (429)", async () => {
    const repo = await newRepo(kube, client);
    await using proxy = await busyProxy(kube, 5);
    await using rig = openStore(kube.client(proxy.kubeconfig), { files: repo });
    const began = performance.now();
    await rig.store.save("files", { hosts: hosts(30, synced("d1", R1)) });
    await rig.writer.flush(AbortSignal.timeout(20_000));
    expect(performance.now() - began).toBeGreaterThanOrEqual(1000);
    expect(rig.writer.pending).toBe(0);
    expect(proxy.refused).toBeGreaterThanOrEqual(5);
    expect((await rig.store.load("files")).hosts.size).toBe(30);
  });

  it("keeps an object under 100 KiB with 200 apps that fail", async () => {
    const repo = await newRepo(kube, client);
    await using rig = openStore(client, { files: repo });
    const message = 'rsync: [receiver] mkstemp "/etc/<x>" failed: Permission denied (13) '.repeat(6).slice(0, 300);
    const failure = makeFailure({ reason: "PermissionDenied", message, attempts: 12 });
    const record = { ...synced("d1", R1), unfinished: [R2], lagSince: 1_700_000_000_000, failure };
    const apps = Array.from({ length: 200 }, (_, n): [AppKey, AppRecord] => [
      `infrastructure/production-eu/customer-frontend-${String(n).padStart(4, "0")}`,
      record,
    ]);
    const full = { ...host("10.0.0.1", record), apps: new Map(apps) };
    await rig.store.save("files", { hosts: new Map([[full.key, full]]) });
    await rig.writer.flush(NEVER);
    const object = await get(client, repo, "confighosts", configHostName(repo.name, full));
    expect(Buffer.byteLength(JSON.stringify(object))).toBeLessThan(100 * 1024);
    expect((await rig.store.load("files")).hosts.get(full.key)?.apps.size).toBe(200);
  });

  it("forgets a repo with 250 hosts, its own status too, and leaves the others", async () => {
    const repo = await newRepo(kube, client);
    await using rig = openStore(client, { files: repo });
    const problems = [{ reason: "FetchFailed", message: "no route", since: 7 }] as const;
    await rig.store.save("files", {
      repo: { revision: R1, problems },
      apps: desired("d1", R1),
      hosts: hosts(250, synced("d1", R1)),
    });
    await rig.writer.flush(NEVER);
    await rig.store.remove("files");
    expect(await kube.kubectl(["-n", repo.namespace, "get", "confighosts,configapps", "-o", "name"])).toBe("");
    expect(await rig.store.repos()).toEqual([]);
    const object = await get(client, repo, "configrepos", repo.name);
    expect(object.status).not.toHaveProperty("revision");
    expect(object.status).not.toHaveProperty("problems");
  });

  async function allow(repo: RepoRef, verbs: readonly string[]): Promise<void> {
    const { namespace } = repo;
    const role = ["-n", namespace, "create", "role", "weak", ...verbs.map((verb) => `--verb=${verb}`)];
    await kube.kubectl([...role, "--resource=configrepos.fssync.dev,configapps.fssync.dev,confighosts.fssync.dev"]);
    await kube.kubectl([
      "-n",
      namespace,
      "create",
      "rolebinding",
      "weak",
      "--role=weak",
      `--serviceaccount=${namespace}:weak`,
    ]);
  }
});

async function mayList(client: KubeClient, repo: RepoRef): Promise<boolean> {
  try {
    await client.json(`/apis/${GROUP}/${VERSION}/namespaces/${repo.namespace}/confighosts`);
    return true;
  } catch {
    return false;
  }
}

/** Answers every so many-th write with 429 in the API server's place, as its flow control does. */
async function busyProxy(kube: Kube, every: number) {
  const upstream = kube.client();
  const counts = { writes: 0, refused: 0 };
  const server = createServer((asked, answer) => {
    void relay(asked, answer);
  });
  async function relay(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    if (asked.method !== "GET" && (counts.writes += 1) % every === 0) {
      counts.refused += 1;
      answer.writeHead(429, { "retry-after": "1", "content-type": "text/plain" }).end("Too many requests");
      return;
    }
    const url = new URL(asked.url!, "http://proxy");
    const body = await text(asked);
    try {
      const found = await upstream.json(url.pathname, {
        method: asked.method as "GET",
        query: Object.fromEntries(url.searchParams),
        ...(body !== "" && { body: JSON.parse(body) as unknown }),
        mergePatch: asked.method === "PATCH",
      });
      answer.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(found));
    } catch (error) {
      answer.writeHead(apiError(error).status).end(apiError(error).message);
    }
  }
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const kubeconfig = join(kube.dir, "busy.kubeconfig");
  const { port } = server.address() as AddressInfo;
  const context = { name: "busy", context: { cluster: "busy", user: "busy" } };
  const cluster = { name: "busy", cluster: { server: `http://127.0.0.1:${port}`, "insecure-skip-tls-verify": true } };
  const users = [{ name: "busy", user: {} }];
  await writeFile(
    kubeconfig,
    JSON.stringify({ clusters: [cluster], contexts: [context], users, "current-context": "busy" }),
  );
  return {
    kubeconfig,
    get refused() {
      return counts.refused;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function pathOf({ namespace }: RepoRef, plural: string, name: string): string {
  return `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${plural}/${name}`;
}

async function get(client: KubeClient, repo: RepoRef, plural: string, name: string): Promise<Resource> {
  return (await client.json(pathOf(repo, plural, name))) as Resource;
}

function digest(name: string): string {
  return name.padEnd(64, "0");
}

function desired(name: string, revision: typeof R1): ReadonlyMap<AppKey, DesiredRecord> {
  return new Map([[WEB, { key: WEB, digest: digest(name), revision, seenAt: 1_700_000_000_000, refused: null }]]);
}

function synced(name: string, revision: typeof R1): AppRecord {
  return { ...makeRecord(null), digest: digest(name), revision, syncedAt: 1_700_000_000_000 };
}

function hosts(count: number, record: AppRecord): ReadonlyMap<string, HostRecord> {
  const addresses = Array.from({ length: count }, (_, n) => `10.0.${Math.floor(n / 250)}.${(n % 250) + 1}`);
  return new Map(addresses.map((address) => [`${address}:22`, host(address, record)]));
}

function host(address: string, record: AppRecord): HostRecord {
  return { key: `${address}:22`, address, port: 22, root: "/", apps: new Map([[WEB, record]]) };
}
