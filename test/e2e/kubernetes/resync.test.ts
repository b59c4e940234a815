import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { ResourceKind } from "../../../src/config/resources.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { putOn, textOn } from "../on-host.ts";
import { asChart } from "./chart-account.ts";
import { allHave, events } from "./seen.ts";

const WEB = "nginx/prod/web";
const DB = "pg/prod/db";
const FILE = "etc/app.conf";
const DB_FILE = "etc/db.conf";
const HERS = "by hand\n";

describeKube("a forced resync asked for by annotation", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;
  let rights: { kubeconfig: string };
  let hosts: [FleetHost, FleetHost, FleetHost];
  let text = "1\n";
  let tokens = 0;

  /** Changes a file on these hosts, which no digest tells. */
  const spoil = (file: string, ...on: readonly FleetHost[]) => on.forEach((host) => putOn(host, file, HERS));
  const ask = async (kind: ResourceKind, name: string): Promise<string> => {
    const token = `token ${++tokens}`;
    await world.request(kind, name, token);
    return token;
  };
  const handled = async (kind: ResourceKind, name: string): Promise<string | undefined> => {
    const found = (await world.get(kind.toLowerCase(), name)) as { status?: { lastHandledReconcileAt?: string } };
    return found.status?.lastHandledReconcileAt;
  };
  const echoed = (token: string, kind: ResourceKind, name: string) =>
    world.when(async () => (await handled(kind, name)) === token, `${token} to be echoed on ${kind} ${name}`);
  const isSuspended = async () =>
    (await controller.metric(`fssync_suspended{repo="files",kind="ConfigRepo",name="files"}`)) === 1;

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({
      kube,
      hosts: 3,
      files: { [`${WEB}/${FILE}`]: text, [`${DB}/${DB_FILE}`]: "db\n" },
      spec: { sync: { timeout: "4s" } },
    });
    hosts = world.world.fleet.hosts.slice(0, 3) as [FleetHost, FleetHost, FleetHost];
    await world.world.assign(DB, [hosts[0]]);
    await world.apply();
    rights = await asChart(world);
    controller = await world.start("a", rights);
    await world.settled();
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    spoil(FILE, ...hosts);
    spoil(DB_FILE, hosts[0]);
  });

  test("of a ConfigHost brings all its apps, and no other host", async () => {
    const name = world.hostName(hosts[0]);
    await echoed(await ask("ConfigHost", name), "ConfigHost", name);
    expect([textOn(hosts[0], FILE), textOn(hosts[0], DB_FILE)]).toEqual([text, "db\n"]);
    expect(allHave(hosts.slice(1), FILE, HERS)).toBe(true);
  });

  test("of a ConfigApp brings it to all its hosts, and no other app", async () => {
    await echoed(await ask("ConfigApp", world.appName()), "ConfigApp", world.appName());
    expect(allHave(hosts, FILE, text)).toBe(true);
    expect(textOn(hosts[0], DB_FILE)).toBe(HERS);
  });

  test("of a ConfigRepo brings everything everywhere", async () => {
    await echoed(await ask("ConfigRepo", "files"), "ConfigRepo", "files");
    expect(allHave(hosts, FILE, text)).toBe(true);
    expect(textOn(hosts[0], DB_FILE)).toBe("db\n");
    const about = async () => (await events(world, "ResyncRequested")).map(({ involvedObject }) => involvedObject.kind);
    await world.when(async () => (await about()).length === 3, "an event for each token");
    expect(new Set(await about())).toEqual(new Set(["ConfigApp", "ConfigHost", "ConfigRepo"]));
  });

  test("of all ConfigApps at once, as it is documented", async () => {
    const token = "1900000000";
    await world.kubectl("annotate", "configapp", "--all", `fssync.dev/requestedAt=${token}`, "--overwrite");
    for (const app of [WEB, DB] as const) await echoed(token, "ConfigApp", world.appName(app));
    expect(allHave(hosts, FILE, text)).toBe(true);
    expect(textOn(hosts[0], DB_FILE)).toBe("db\n");
  });

  test("is echoed when the last host was attempted, be it that this failed", async () => {
    const [, hangs] = hosts;
    await hangs.forceCommand("exec sleep 600");
    const before = await handled("ConfigApp", world.appName());
    const token = await ask("ConfigApp", world.appName());
    const failed = () =>
      controller.logged("SyncTimeout").some((line) => line["host"] === `${hangs.address}:${hangs.port}`);
    await until(() => textOn(hosts[0], FILE) === text && textOn(hosts[2], FILE) === text, 10_000, "the other hosts");
    await world.when(async () => {
      const now = await handled("ConfigApp", world.appName());
      if (!failed()) expect(now).toBe(before);
      return now === token;
    }, "the token to be echoed");
    expect(failed()).toBe(true);
    expect(textOn(hangs, FILE)).toBe(HERS);
    await hangs.forceCommand(undefined);
    // What was asked for holds until it worked.
    await until(() => textOn(hangs, FILE) === text, 15_000, "the host that hung");
  });

  test("a second token while the first is carried out is carried out too", async () => {
    const [quick, slow] = hosts;
    const requested = () => controller.logged("ResyncRequested").map(({ requestedAt }) => requestedAt);
    const go = join(slow.dir, "go");
    const waits = `until [ -e "${go}" ] || [ ! -d "${slow.dir}" ]; do sleep 0.05; done`;
    await slow.forceCommand(`${waits}; exec sh -c "$SSH_ORIGINAL_COMMAND"`);
    const first = await ask("ConfigApp", world.appName());
    await until(() => textOn(quick, FILE) === text, 10_000, "the first token on the quick host");
    expect(await handled("ConfigApp", world.appName())).not.toBe(first);
    spoil(FILE, quick);
    const second = await ask("ConfigApp", world.appName());
    await until(() => requested().includes(second), 10_000, "the second token to be seen");
    writeFileSync(go, "");
    await echoed(second, "ConfigApp", world.appName());
    expect(allHave(hosts, FILE, text)).toBe(true);
    await slow.forceCommand(undefined);
    expect(requested().filter((token) => token === first || token === second)).toEqual([first, second]);
  });

  test("two tokens in one breath: the newer one is echoed", async () => {
    await ask("ConfigHost", world.hostName(hosts[1]));
    const second = await ask("ConfigHost", world.hostName(hosts[1]));
    await echoed(second, "ConfigHost", world.hostName(hosts[1]));
    expect(textOn(hosts[1], FILE)).toBe(text);
  });

  test("works while the ConfigRepo is suspended, with the commit that was taken in last", async () => {
    await world.kubectl("patch", "configrepo", "files", "--type=merge", "-p", '{"spec":{"suspend":true}}');
    await until(isSuspended, 10_000, "the controller to be suspended");
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: "2\n" });
    for (const [kind, name] of [
      ["ConfigHost", world.hostName(hosts[0])],
      ["ConfigApp", world.appName()],
      ["ConfigRepo", "files"],
    ] as const) {
      spoil(FILE, ...hosts);
      await echoed(await ask(kind, name), kind, name);
      expect(allHave(kind === "ConfigHost" ? [hosts[0]] : hosts, FILE, text), kind).toBe(true);
    }
    await world.kubectl("patch", "configrepo", "files", "--type=merge", "-p", '{"spec":{"suspend":false}}');
    text = "2\n";
    await world.settled();
    expect(allHave(hosts, FILE, text)).toBe(true);
  });

  test("asked for while no controller runs, is carried out by the next one; what was handled is not again", async () => {
    await controller.stop();
    const name = world.hostName(hosts[0]);
    const token = await ask("ConfigHost", name);
    controller = await world.start("b", rights);
    await echoed(token, "ConfigHost", name);
    expect(textOn(hosts[0], FILE)).toBe(text);
    const asked = controller.logged("ResyncRequested");
    expect(asked.map((line) => `${String(line["kind"])} ${String(line["name"])}`)).toEqual([`ConfigHost ${name}`]);
    expect(allHave(hosts.slice(1), FILE, HERS)).toBe(true);
  });
});
