import { afterAll, beforeAll, expect, test } from "vitest";
import type { ResourceKind } from "../../../src/config/resources.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { textOn } from "../on-host.ts";
import { asChart } from "./chart-account.ts";
import { allHave, brief } from "./seen.ts";

const WEB = "nginx/prod/web";
const DB = "pg/prod/db";
const FILE = "etc/app.conf";
const DB_FILE = "etc/db.conf";

describeKube("spec.suspend", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;
  let rights: { kubeconfig: string };
  let hosts: [FleetHost, FleetHost];
  let commits = 1;

  /** A commit that changes both apps; returns the text of their files. */
  const commit = async (): Promise<string> => {
    const text = `${++commits}\n`;
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: text, [`${DB}/${DB_FILE}`]: text });
    return text;
  };
  const suspend = (kind: ResourceKind, name: string, on: boolean) =>
    world.kubectl("patch", kind, name, "--type=merge", "-p", JSON.stringify({ spec: { suspend: on } }));
  const isSuspended = async (kind: ResourceKind, name: string) =>
    (await controller.metric(`fssync_suspended{repo="files",kind="${kind}",name="${name}"}`)) === 1;
  const noticed = (kind: ResourceKind, name: string, on = true) =>
    until(async () => (await isSuspended(kind, name)) === on, 10_000, `fssync_suspended of ${kind} ${name}`);
  const hostKey = ({ address, port }: FleetHost) => `${address}:${port}`;

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    const files = { [`${WEB}/${FILE}`]: "1\n", [`${DB}/${DB_FILE}`]: "1\n" };
    world = await KubeWorld.create({ kube, hosts: 2, files });
    hosts = world.world.fleet.hosts.slice(0, 2) as [FleetHost, FleetHost];
    await world.world.assign(DB, [hosts[0]]);
    await world.apply();
    rights = await asChart(world);
    controller = await world.start("a", rights);
    await world.settled();
    expect(await controller.metric('fssync_suspended{repo="files",kind="ConfigRepo",name="files"}')).toBe(0);
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  test("of a ConfigApp keeps it from all its hosts, and other apps go on", async () => {
    const before = textOn(hosts[0], FILE);
    await suspend("ConfigApp", world.appName(), true);
    await noticed("ConfigApp", WEB);
    const text = await commit();
    await until(() => textOn(hosts[0], DB_FILE) === text, 10_000, "the other app");
    await world.when(async () => (await world.app())?.status?.state === "Suspended", "the app to be Suspended");
    expect(brief(await world.app(), "Ready")).toBe("False Suspended");
    expect(brief(await world.app(), "Reconciling")).toBe("");
    await world.when(async () => brief(await world.app(DB), "Ready") === "True Synced", "the other app to be Synced");
    await world.when(
      async () => (await world.host(hosts[1]))?.status?.state === "Suspended",
      "its host to say so",
      5000,
    );
    expect(allHave(hosts, FILE, before!)).toBe(true);

    await suspend("ConfigApp", world.appName(), false);
    await until(() => allHave(hosts, FILE, text), 5000, "the app to go on at once");
    await noticed("ConfigApp", WEB, false);
    await world.settled();
  });

  test("of a ConfigHost keeps everything from it, and other hosts go on", async () => {
    const [here, there] = hosts;
    const before = textOn(here, FILE);
    await suspend("ConfigHost", world.hostName(here), true);
    await noticed("ConfigHost", hostKey(here));
    const text = await commit();
    await until(() => textOn(there, FILE) === text, 10_000, "the other host");
    await world.when(async () => (await world.host(here))?.status?.state === "Suspended", "the host to say so", 5000);
    await world.when(async () => {
      const { total, synced, pending } = (await world.app())?.status?.hosts ?? {};
      return total === 2 && synced === 1 && pending === 1;
    }, "one of two hosts to be counted as synced");
    expect([textOn(here, FILE), textOn(here, DB_FILE)]).toEqual([before, before]);

    await suspend("ConfigHost", world.hostName(here), false);
    await until(() => textOn(here, FILE) === text && textOn(here, DB_FILE) === text, 5000, "the host to go on at once");
    await noticed("ConfigHost", hostKey(here), false);
    await world.settled();
  });

  test("of a ConfigHost outlives the host's absence from the inventory", async () => {
    const [here, there] = hosts;
    const before = textOn(there, FILE);
    await suspend("ConfigHost", world.hostName(there), true);
    await noticed("ConfigHost", hostKey(there));
    await world.world.assign(WEB, [here]);
    await world.when(async () => (await world.host(there))?.status?.apps === undefined, "its record to go");
    await world.world.assign(WEB, hosts);
    const text = await commit();
    await until(() => textOn(here, FILE) === text, 10_000, "the other host");
    await world.when(async () => (await world.host(there))?.status?.state === "Suspended", "the host to say so");
    expect(textOn(there, FILE)).toBe(before);

    await suspend("ConfigHost", world.hostName(there), false);
    await until(() => textOn(there, FILE) === text, 5000, "the host to go on at once");
    await world.settled();
  });

  test("of a ConfigHost keeps its object while the host is away, and not longer", async () => {
    const [here, there] = hosts;
    await suspend("ConfigHost", world.hostName(there), true);
    await noticed("ConfigHost", hostKey(there));
    await world.world.assign(WEB, [here]);
    await world.when(async () => (await world.host(there))?.status?.apps === undefined, "its record to go");
    await suspend("ConfigHost", world.hostName(there), false);
    await world.when(async () => (await world.host(there)) === undefined, "its object to go", 5000);
    await world.settled(1);
    await world.world.assign(WEB, hosts);
    await world.settled();
  });

  test("of a ConfigHost whose label somebody took off holds, and the label comes back", async () => {
    const [here, there] = hosts;
    await suspend("ConfigHost", world.hostName(there), true);
    await noticed("ConfigHost", hostKey(there));
    await world.kubectl("label", "confighost", world.hostName(there), "fssync.dev/repo-");
    await controller.stop();
    const before = textOn(there, FILE);
    const text = await commit();
    controller = await world.start("c", rights);
    await until(() => textOn(here, FILE) === text, 10_000, "the other host");
    const labelled = ["get", "confighosts", "-l", "fssync.dev/repo=files", "-o", "name"] as const;
    await world.when(async () => (await world.kubectl(...labelled)).includes(world.hostName(there)), "the label");
    expect(textOn(there, FILE)).toBe(before);
    await suspend("ConfigHost", world.hostName(there), false);
    await until(() => textOn(there, FILE) === text, 5000, "the host to go on at once");
    await world.settled();
  });

  test("of a ConfigRepo asks nobody and syncs nothing", async () => {
    const before = textOn(hosts[0], FILE);
    await suspend("ConfigRepo", "files", true);
    await noticed("ConfigRepo", "files");
    await world.when(async () => brief(await world.repo(), "Ready") === "True Suspended", "the ConfigRepo to say so");
    const { revision } = (await world.repo()).status!;
    const text = await commit();
    const asked = world.world.cmdb.requests.length;
    // What proves that time has passed: a new ConfigRepo beside it is taken up and asks the CMDB several times.
    await world.world.configure({});
    const others = async () => (await controller.metric('fssync_git_fetch_total{repo="other",result="success"}')) ?? 0;
    await world.kubectl("apply", "-f", await world.write("other.json", await otherRepo(world)));
    await until(async () => (await others()) >= 3, 15_000, "another ConfigRepo to be asked three times");
    await world.kubectl("delete", "configrepo", "other");
    expect(world.world.cmdb.requests.length).toBe(asked);
    expect((await world.repo()).status?.revision).toBe(revision);
    expect(allHave(hosts, FILE, before!)).toBe(true);

    await suspend("ConfigRepo", "files", false);
    await until(() => allHave(hosts, FILE, text), 5000, "the ConfigRepo to go on at once");
    await noticed("ConfigRepo", "files", false);
    await world.settled();
  });

  test("holds for the controller that comes next", async () => {
    await suspend("ConfigApp", world.appName(), true);
    await suspend("ConfigHost", world.hostName(hosts[0]), true);
    await controller.stop();
    const before = textOn(hosts[0], FILE);
    const text = await commit();
    controller = await world.start("b", rights);
    await noticed("ConfigApp", WEB);
    await noticed("ConfigHost", hostKey(hosts[0]));
    const head = await world.world.repo.commitOf("main");
    await world.when(
      async () => (await world.repo()).status?.revision?.endsWith(`:${head}`) === true,
      "the commit to be seen",
    );
    await world.when(async () => (await world.app())?.status?.state === "Suspended", "the app to be Suspended");
    expect([textOn(hosts[0], FILE), textOn(hosts[0], DB_FILE), textOn(hosts[1], FILE)]).toEqual([
      before,
      before,
      before,
    ]);
    await suspend("ConfigApp", world.appName(), false);
    await until(() => textOn(hosts[1], FILE) === text, 5000, "the host that is not suspended");
    expect(textOn(hosts[0], FILE)).toBe(before);
    await suspend("ConfigHost", world.hostName(hosts[0]), false);
    await world.settled();
    expect(textOn(hosts[0], DB_FILE)).toBe(text);
  });
});

/** The same Git repo, on no host. */
async function otherRepo(world: KubeWorld): Promise<object> {
  const { spec } = (await world.repo()) as { spec?: Record<string, unknown> };
  const inventory = { interval: "1s", static: [] };
  return {
    apiVersion: "fssync.dev/v1alpha1",
    kind: "ConfigRepo",
    metadata: { name: "other" },
    spec: { ...spec, inventory, suspend: false },
  };
}
