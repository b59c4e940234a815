import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { AppOnHost } from "../../../src/config/resources.ts";
import { hostKey } from "../../../src/model/host.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { fileOn, putOn, textOn, touchedBetween, touchesOn } from "../on-host.ts";
import { asChart } from "./chart-account.ts";
import { allHave, brief, condition, events } from "./seen.ts";

const WEB = "nginx/prod/web";
const FILE = "etc/app.conf";
const OTHER = "etc/other.conf";
const HERS = "by hand\n";
const LABELS = `{repo="files",mod="nginx",env="prod",app="web"}`;

describeKube("files that somebody changes on hosts", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;
  let rights: { kubeconfig: string };
  let hosts: [FleetHost, FleetHost, FleetHost];
  let commits = 0;

  const commit = async (...files: string[]): Promise<string> => {
    const text = `commit ${++commits}\n`;
    await world.world.repo.commit(Object.fromEntries(files.map((file) => [`${WEB}/${file}`, text])));
    return text;
  };
  const act = (action: "report" | "heal") =>
    world.kubectl(
      "patch",
      "configrepo",
      "files",
      "--type=merge",
      "-p",
      JSON.stringify({ spec: { drift: { action } } }),
    );
  const appOn = async (host: FleetHost): Promise<AppOnHost | undefined> => (await world.host(host))?.status?.apps?.[0];
  const drifted = (host: FleetHost, files: number) =>
    world.when(async () => {
      const status = (await world.host(host))?.status;
      return status?.state === "Drifted" && status.apps?.[0]?.drift?.count === files;
    }, `${files} drifted files on ${host.port}`);
  const told = async (host: FleetHost, words: string) => {
    const found = await events(world, "ConfigDriftDetected");
    const about = found.filter(({ involvedObject }) => involvedObject.name === world.hostName(host));
    return about.filter(({ message }) => message?.includes(words));
  };
  const metric = (name: string) => controller.metric(`${name}${LABELS}`);
  /** All in order, and as seen by every object. */
  const healed = async () => {
    await world.settled();
    await world.when(async () => condition(await world.app(), "Drifted") === undefined, "no drift");
    for (const host of hosts)
      await world.when(
        async () => brief(await world.host(host), "Ready") === "True Synced",
        `${host.port} to be ready`,
      );
    await until(async () => (await metric("fssync_drifted_files")) === 0, 10_000, "no drifted files to be counted");
  };

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({
      kube,
      hosts: 3,
      files: { [`${WEB}/${FILE}`]: "commit 0\n", [`${WEB}/${OTHER}`]: "commit 0\n" },
      spec: { drift: { interval: "1s" } },
    });
    hosts = world.world.fleet.hosts.slice(0, 3) as [FleetHost, FleetHost, FleetHost];
    await world.apply();
    rights = await asChart(world);
    controller = await world.start("a", rights);
    await world.settled();
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });
  /** What a test has left is healed, and only reported again. */
  afterEach(async () => {
    await act("heal");
    await healed();
    await act("report");
  });

  test("are told on the host, its app and the repo, and left as they are", async () => {
    const [host, ...others] = hosts;
    const { lastAppliedRevision } = (await world.app())!.status!;
    putOn(host, FILE, HERS);
    chmodSync(join(host.dir, OTHER), 0o600);
    await drifted(host, 2);
    const object = (await world.host(host))!;
    expect(brief(object, "Ready")).toBe("False Drifted");
    expect(condition(object, "Ready")?.message).toContain(`${WEB} Drifted (/${FILE} content, /${OTHER} mode)`);
    expect(brief(object, "Stalled")).toBe("");
    expect(await appOn(host)).toMatchObject({
      state: "Drifted",
      drift: {
        count: 2,
        files: [
          { path: FILE, change: "content" },
          { path: OTHER, change: "mode" },
        ],
      },
    });
    await world.when(async () => (await world.app())?.status?.hosts?.drifted === 1, "the app to count it");
    const app = (await world.app())!;
    expect(app.status).toMatchObject({ state: "Drifted", hosts: { total: 3, synced: 2, drifted: 1 } });
    expect(app.status?.lastAppliedRevision).toBe(lastAppliedRevision);
    expect(brief(app, "Ready")).toBe("False Drifted");
    expect(brief(app, "Drifted")).toBe("True FilesChanged");
    expect(condition(app, "Drifted")?.message).toContain(`2 files on 1 host`);
    await world.when(async () => (await world.repo()).status?.drifted === 1, "the repo to count it");
    expect(brief(await world.repo(), "Ready")).toBe("True Succeeded");
    await world.when(async () => (await told(host, `/${FILE} (content)`)).length === 1, "the event");
    expect(await world.kubectl("describe", "confighost", world.hostName(host))).toMatch(
      /Warning\s+ConfigDriftDetected .*etc\/app\.conf/,
    );
    expect(await metric("fssync_drifted_files")).toBe(2);
    expect(textOn(host, FILE)).toBe(HERS);
    expect(fileOn(host, OTHER)?.mode).toBe(0o600);
    for (const other of others) expect((await world.host(other))?.status?.state).toBe("Synced");
  });

  test("keep no rollout from being done", async () => {
    const [host] = hosts;
    putOn(host, FILE, HERS);
    await drifted(host, 1);
    const text = await commit(OTHER);
    const head = await world.world.repo.commitOf("main");
    await world.when(
      async () => (await world.app())?.status?.lastAppliedRevision?.endsWith(`:${head}`) === true,
      "the commit to be applied",
    );
    expect(allHave(hosts, OTHER, text)).toBe(true);
    const { hosts: counts, history } = (await world.app())!.status!;
    expect(counts).toMatchObject({ synced: 2, drifted: 1 });
    expect(history?.[0]).toMatchObject({ total: 3, synced: 3, finishedAt: expect.any(String) });
    expect(textOn(host, FILE)).toBe(HERS);
  });

  test("are laid over where the commit changes them too, which is told with where they are kept", async () => {
    const [host] = hosts;
    putOn(host, FILE, HERS);
    await drifted(host, 1);
    const text = await commit(FILE);
    await until(() => allHave(hosts, FILE, text), 10_000, "the commit on every host");
    await world.settled();
    const [replaced] = (await appOn(host))!.drift!.replaced!.slice(-1);
    expect(replaced).toMatchObject({ path: FILE, change: "conflict" });
    expect(readFileSync(replaced!.kept!, "utf8")).toBe(HERS);
    await world.when(async () => (await told(host, "laid over by a sync")).length === 1, "the event");
    expect(condition(await world.app(), "Drifted")).toBeUndefined();
  });

  test("are healed when that is asked for, and nobody else's are touched", async () => {
    const [host, other] = hosts;
    const wanted = textOn(host, FILE);
    putOn(host, FILE, "mine\n");
    await drifted(host, 1);
    const before = touchesOn(other);
    await act("heal");
    await until(() => textOn(host, FILE) === wanted, 15_000, "the file to be healed");
    await healed();
    const { state, drift } = (await appOn(host))!;
    expect(state).toBe("Synced");
    expect(drift?.count).toBe(0);
    const replaced = drift!.replaced!.at(-1)!;
    expect(replaced).toMatchObject({ path: FILE, change: "content" });
    expect(readFileSync(replaced.kept!, "utf8")).toBe("mine\n");
    await world.when(async () => (await told(host, "healed")).length >= 1, "the event");
    expect((await world.app())?.status).toMatchObject({ state: "Synced", hosts: { synced: 3, drifted: 0 } });
    expect((await world.repo()).status?.drifted).toBe(0);
    expect(touchedBetween(before, touchesOn(other))).toEqual([]);
  });

  test("are known to the controller that comes next: neither told again nor first seen anew", async () => {
    const [, host] = hosts;
    putOn(host, FILE, HERS);
    await drifted(host, 1);
    const before = (await appOn(host))!.drift;
    await controller.stop();
    const events = await told(host, `/${FILE} (content)`);
    controller = await world.start("b", rights);
    const looks = () => controller.metric(`fssync_verify_total{repo="files",result="drifted"}`);
    await until(async () => ((await looks()) ?? 0) >= 2, 20_000, "the next controller to have looked twice");
    expect((await appOn(host))!.drift).toEqual(before);
    expect(await metric("fssync_drifted_files")).toBe(1);
    expect(controller.logged("ConfigDriftDetected")).toEqual([]);
    expect((await told(host, `/${FILE} (content)`)).map(({ count }) => count)).toEqual(
      events.map(({ count }) => count),
    );
  });

  test("stay known while their host is down: that is no attempt at a revision", async () => {
    const [, , host] = hosts;
    putOn(host, FILE, HERS);
    await drifted(host, 1);
    const { lastAttemptedRevision } = (await world.host(host))!.status!;
    await host.down();
    await world.when(async () => (await appOn(host))?.verifying === true, "a look to fail");
    const object = (await world.host(host))!;
    expect(object.status).toMatchObject({ state: "Unreachable", lastAttemptedRevision });
    expect(object.status?.apps?.[0]?.drift).toMatchObject({ count: 1, files: [{ path: FILE, change: "content" }] });
    await world.when(async () => (await world.app())?.status?.hosts?.unreachable === 1, "the app to count it");
    expect(brief(await world.app(), "Drifted")).toBe("True FilesChanged");
    await host.up();
    await drifted(host, 1);
    expect((await appOn(host))?.verifying).toBeUndefined();
    expect(controller.logged("SyncFailed").filter((line) => line["host"] === hostKey(host.address, host.port))).toEqual(
      [],
    );
  });
});
