import { afterAll, beforeAll, expect, test } from "vitest";
import { until, type FleetHost } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { pathsOn, textOn } from "../on-host.ts";
import { asChart } from "./chart-account.ts";
import { allHave, brief, condition, events, table } from "./seen.ts";

const WEB = "nginx/prod/web";
const DB = "pg/prod/db";
const FILE = "etc/app.conf";

describeKube("from kubectl apply to the files on the hosts", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;
  let hosts: readonly FleetHost[];

  const commit = (text: string) => world.world.repo.commit({ [`${WEB}/${FILE}`]: text });

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({
      kube,
      hosts: 3,
      files: { [`${WEB}/${FILE}`]: "1\n", [`${DB}/etc/db.conf`]: "db\n" },
      spec: { ssh: { connectTimeout: "2s" } },
    });
    hosts = [...world.world.fleet.hosts];
    await world.world.assign(DB, [hosts[0]!]);
    controller = await world.start("a", await asChart(world));
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  test("a ConfigRepo that is applied is on its hosts, and kubectl wait says when", async () => {
    const started = performance.now();
    await world.apply();
    const wait = (kind: string) => world.kubectl("wait", "--for=condition=Ready", "--timeout=30s", kind, "--all");
    await wait("configrepo");
    await world.settled();
    process.stdout.write(`kubectl apply → three hosts: ${Math.round(performance.now() - started)} ms\n`);
    await wait("configapp");
    await wait("confighost");
    expect(allHave(hosts, FILE, "1\n")).toBe(true);
    expect(textOn(hosts[0]!, "etc/db.conf")).toBe("db\n");
    expect(pathsOn(hosts[1]!)).not.toContain("etc/db.conf");
  });

  test("the three kinds say what there is", async () => {
    const revision = `main@sha1:${await world.world.repo.commitOf("main")}`;
    const repo = await world.repo();
    expect(repo.status).toMatchObject({
      revision,
      apps: 2,
      hosts: 3,
      synced: 3,
      failed: 0,
      unreachable: 0,
      observedGeneration: repo.metadata?.generation,
      lastAttemptedRevision: revision,
      lastAppliedRevision: revision,
    });
    expect(brief(repo, "Ready")).toBe("True Succeeded");
    expect(repo.status?.conditions).toHaveLength(1);

    const app = await world.app();
    expect(app?.spec).toMatchObject({ repoRef: { name: "files" }, mod: "nginx", env: "prod", app: "web" });
    expect(app?.status).toMatchObject({
      revision,
      state: "Synced",
      hosts: { total: 3, synced: 3, pending: 0, failed: 0, unreachable: 0, drifted: 0 },
      observedGeneration: app?.metadata?.generation,
      lastAttemptedRevision: revision,
      lastAppliedRevision: revision,
      history: [{ revision, total: 3, synced: 3, digest: app?.status?.digest }],
    });
    expect(app?.status?.history?.[0]?.finishedAt).toBeDefined();
    expect(brief(app, "Ready")).toBe("True Synced");

    const host = await world.host(hosts[0]!);
    const { address, port, root, dir } = hosts[0]!;
    expect(root).toBe(dir);
    expect(host?.spec).toMatchObject({ repoRef: { name: "files" }, address, port, root });
    expect(host?.status).toMatchObject({
      state: "Synced",
      total: 2,
      synced: 2,
      root,
      observedGeneration: host?.metadata?.generation,
      lastAppliedRevision: revision,
    });
    expect(host?.status?.apps?.map((one) => `${one.app} ${one.state} ${one.revision}`).toSorted()).toEqual([
      `${WEB} Synced ${revision}`,
      `${DB} Synced ${revision}`,
    ]);
    expect(brief(host, "Ready")).toBe("True Synced");
    for (const each of [app, host]) {
      expect(each?.metadata?.ownerReferences).toMatchObject([{ kind: "ConfigRepo", uid: repo.metadata?.uid }]);
    }
  });

  test("kubectl get prints the columns", async () => {
    const repos = await table(world, "configrepos");
    expect(repos.header).toEqual(["NAME", "REVISION", "APPS", "HOSTS", "SYNCED", "READY", "STATUS", "AGE"]);
    expect(repos.rows.get("files")?.slice(2, 6)).toEqual(["2", "3", "3", "True"]);
    const apps = await table(world, "capp");
    const columns = ["MOD", "ENV", "APP", "REVISION", "HOSTS", "SYNCED", "FAILED", "READY", "STATUS", "AGE"];
    expect(apps.header).toEqual(["NAME", ...columns]);
    expect(apps.rows.get(world.appName())?.slice(1, 4)).toEqual(["nginx", "prod", "web"]);
    expect(apps.rows.get(world.appName())?.slice(5, 9)).toEqual(["3", "3", "0", "True"]);
    const found = await table(world, "chost");
    expect(found.header).toEqual(["NAME", "ADDRESS", "APPS", "SYNCED", "STATE", "LASTSYNC", "AGE"]);
    expect(found.rows.get(world.hostName(hosts[1]!))?.slice(1, 5)).toEqual(["127.0.0.1", "1", "1", "Synced"]);
  });

  test("a commit is a new revision everywhere, and the one before is history", async () => {
    const before = (await world.app())?.status;
    const other = (await world.app(DB))?.metadata?.resourceVersion;
    await commit("2\n");
    const started = performance.now();
    await until(() => allHave(hosts, FILE, "2\n"), 15_000, "the commit on every host");
    process.stdout.write(`commit → files on three hosts: ${Math.round(performance.now() - started)} ms\n`);
    await world.settled();
    const after = (await world.app())?.status;
    expect(after?.history).toMatchObject([
      { revision: after?.revision, digest: after?.digest, synced: 3 },
      { revision: before?.revision, digest: before?.digest, synced: 3 },
    ]);
    expect(after?.history?.[0]?.finishedAt).toBeDefined();
    // An app that the commit does not touch is not written.
    expect((await world.app(DB))?.metadata?.resourceVersion).toBe(other);
  });

  test("a host that the CMDB adds gets its object, its files and an event", async () => {
    const host = await world.world.addHost();
    await world.writeSecret();
    hosts = [...world.world.fleet.hosts];
    await world.world.assign(WEB, hosts);
    await world.settled(4);
    expect(textOn(host, FILE)).toBe("2\n");
    expect((await world.host(host))?.status).toMatchObject({ state: "Synced", total: 1 });
    const named = `${host.address}:${host.port}`;
    await world.when(
      async () => (await events(world, "HostAdded")).some(({ message }) => message?.includes(named)),
      "the event",
    );
  });

  test("a host that is down says so, does not hold up the others, and has the newest files when it is back", async () => {
    const [well, sick] = [hosts.slice(1), hosts[0]!];
    await sick.down();
    await commit("3\n");
    await until(() => allHave(well, FILE, "3\n"), 15_000, "the hosts that are well");
    await world.when(
      async () => (await world.host(sick))?.status?.state === "Unreachable",
      "the host to be Unreachable",
    );
    await world.when(async () => (await world.app())?.status?.hosts?.unreachable === 1, "the app to count it");
    const [host, app, repo] = await Promise.all([world.host(sick), world.app(), world.repo()]);
    expect(brief(host, "Ready")).toBe("False ConnectRefused");
    expect(condition(host, "Stalled")).toBeUndefined();
    expect(brief(app, "Ready")).toBe("False ConnectRefused");
    expect(condition(app, "Ready")?.message).toContain(`${sick.address}:${sick.port}`);
    expect(app?.status?.lastAppliedRevision).not.toBe(app?.status?.revision);
    // Among thousands of hosts one is always down.
    expect(brief(repo, "Ready")).toBe("True Succeeded");
    expect(repo.status?.unreachable).toBe(1);
    expect(textOn(sick, FILE)).toBe("2\n");
    await commit("4\n");
    await until(() => allHave(well, FILE, "4\n"), 15_000, "the next commit on the hosts that are well");
    await sick.up();
    await world.settled(4);
    expect(textOn(sick, FILE)).toBe("4\n");
    expect(brief(await world.host(sick), "Ready")).toBe("True Synced");
  });

  test("events say it once each, with the object that they are about", async () => {
    const about = async (reason: string) =>
      (await events(world, reason)).map(({ involvedObject: { kind, name }, count, type }) => ({
        kind,
        name,
        count,
        type,
      }));
    await world.when(async () => (await about("SyncSucceeded")).length >= 4, "the last rollout's event");
    const repo = { kind: "ConfigRepo", name: "files", count: 1, type: "Normal" };
    expect(await about("NewRevision")).toEqual(Array.from({ length: 4 }, () => repo));
    expect(await about("HostAdded")).toEqual(Array.from({ length: 2 }, () => repo));
    // Two commits could not be brought to the host that was down: the same words, once.
    const failed = { kind: "ConfigHost", name: world.hostName(hosts[0]!), count: 1, type: "Warning" };
    expect((await about("SyncFailed")).filter(({ name }) => name === failed.name)).toEqual([failed]);
    const succeeded = await about("SyncSucceeded");
    expect(succeeded.filter(({ name }) => name === world.appName(DB))).toHaveLength(1);
    expect(succeeded.every(({ kind, count }) => kind === "ConfigApp" && count === 1)).toBe(true);
    expect(await world.kubectl("get", "events")).toMatch(/SyncFailed\s+confighost\/files\.127/);
    // `kubectl describe` looks for the uid.
    expect(await world.kubectl("describe", "confighost", failed.name)).toMatch(/Warning\s+SyncFailed/);
    expect(await world.kubectl("describe", "configapp", world.appName(WEB))).toMatch(/Normal\s+SyncSucceeded/);
  });

  test("SIGTERM ends it in order", async () => {
    expect((await controller.stop()).code).toBe(0);
    expect(world.world.processes()).toEqual([]);
  });
});
