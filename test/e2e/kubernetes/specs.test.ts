import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeKey } from "../../support/fleet/sshd.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { textOn } from "../on-host.ts";
import { asChart } from "./chart-account.ts";
import { allHave, brief, condition } from "./seen.ts";

const WEB = "nginx/prod/web";
const FILE = "etc/app.conf";

describeKube("the specification and the Secrets that it names", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;
  let hosts: readonly FleetHost[];
  let commits = 1;

  const commit = async (): Promise<string> => {
    const text = `${++commits}\n`;
    await world.world.repo.commit({ [`${WEB}/${FILE}`]: text });
    return text;
  };
  const arrives = (text: string, deadline = 10_000) =>
    until(() => allHave(hosts, FILE, text), deadline, `${text.trim()} on every host`);
  /** A merge patch of the spec. */
  const patch = (spec: object) =>
    world.kubectl("patch", "configrepo", "files", "--type=merge", "-p", JSON.stringify({ spec }));
  const refused = (words: string) =>
    world.when(async () => {
      const repo = await world.repo();
      const said = condition(repo, "Ready")?.message.includes(words) === true;
      return said && brief(repo, "Ready") === "False InvalidSpec" && brief(repo, "Stalled") === "True InvalidSpec";
    }, `Ready=False InvalidSpec: ${words}`);
  const secret = (name: string, stringData: Record<string, string>) =>
    world.kube.kubectl(["-n", world.namespace, "apply", "-f", "-"], {
      input: JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata: { name }, stringData }),
    });

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({ kube, hosts: 2, files: { [`${WEB}/${FILE}`]: "1\n" } });
    hosts = world.world.fleet.hosts;
    controller = await world.start("a", await asChart(world));
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  test("a specification that nobody can work by is refused with its path, and begins to work when it is mended", async () => {
    await world.apply({ git: { url: "https://me:hush@git.example/files.git" } });
    await refused("spec.git.url");
    const repo = await world.repo();
    expect(repo.status?.observedGeneration).toBe(repo.metadata?.generation);
    expect(condition(repo, "Ready")?.observedGeneration).toBe(repo.metadata?.generation);
    expect(JSON.stringify(repo.status) + controller.running.stderr).not.toContain("hush");
    expect(await world.kubectl("get", "configrepo", "files")).toMatch(/False\s+.*spec\.git\.url/);
    await world.apply();
    await world.settled();
    expect(brief(await world.repo(), "Ready")).toBe("True Succeeded");
    expect(brief(await world.repo(), "Stalled")).toBe("");
    expect(allHave(hosts, FILE, "1\n")).toBe(true);
  });

  test("a mistake made while it runs stops it, and what is on the hosts stays", async () => {
    const before = textOn(hosts[0]!, FILE);
    await patch({ git: { branch: "a..b" } });
    await refused("spec.git.branch");
    await patch({ git: { branch: "main" }, inventory: { http: { hosts: "data[" } } });
    await refused("spec.inventory.http.hosts");
    const text = await commit();
    const { generation } = (await world.repo()).metadata!;
    expect(condition(await world.repo(), "Ready")?.observedGeneration).toBe(generation);
    expect(allHave(hosts, FILE, before!)).toBe(true);
    await patch({ inventory: { http: { hosts: "data" } } });
    await arrives(text);
    await world.settled();
  });

  test("another branch and another concurrency are taken in while it runs", async () => {
    const { repo } = world.world;
    await repo.git(["branch", "next", "main"]);
    await patch({ git: { branch: "nowhere" } });
    await world.when(async () => brief(await world.repo(), "FetchFailed").startsWith("True"), "FetchFailed");
    expect(condition(await world.repo(), "Ready")?.message).toContain("nowhere");
    await patch({ git: { branch: "next" }, sync: { concurrency: 1 } });
    await world.when(
      async () => (await world.repo()).status?.revision?.startsWith("next@") === true,
      "the other branch",
    );
    const before = textOn(hosts[0]!, FILE);
    const text = await commit();
    await patch({ git: { branch: "main" } });
    await arrives(text);
    expect(before).not.toBe(text);
    await world.settled();
    expect((await world.repo()).status?.observedGeneration).toBe((await world.repo()).metadata?.generation);
  });

  test("a Secret of the hosts that is missing is said, and made later it works", async () => {
    await patch({ ssh: { secretRef: { name: "later" } } });
    const text = await commit();
    await world.when(
      async () => brief(await world.host(hosts[0]!), "Ready") === "False SecretInvalid",
      "SecretInvalid",
    );
    expect(condition(await world.host(hosts[0]!), "Ready")?.message).toContain(`${world.namespace}/later`);
    const { fleet } = world.world;
    await secret("later", {
      identity: await readFile(fleet.identityFile, "utf8"),
      known_hosts: fleet.knownHosts,
    });
    await arrives(text, 5000);
    await world.settled();
    await patch({ ssh: { secretRef: { name: "ssh" } } });
  });

  test("a Secret of the CMDB that is missing is said on the ConfigRepo, and made later it works", async () => {
    world.world.cmdb.authorization = "Bearer sesame";
    await patch({ inventory: { http: { secretRef: { name: "cmdb" } } } });
    await world.when(async () => brief(await world.repo(), "Ready") === "False SecretInvalid", "SecretInvalid");
    expect(condition(await world.repo(), "InventoryFailed")?.message).toContain(`${world.namespace}/cmdb`);
    expect(condition(await world.repo(), "FetchFailed")).toBeUndefined();
    await secret("cmdb", { token: "sesame" });
    await world.when(async () => brief(await world.repo(), "Ready") === "True Succeeded", "the CMDB to answer", 8000);
    // Rotated.
    world.world.cmdb.authorization = "Bearer open";
    await world.when(async () => brief(await world.repo(), "Ready") === "False InventoryFailed", "the CMDB to refuse");
    await secret("cmdb", { token: "open" });
    await world.when(async () => brief(await world.repo(), "Ready") === "True Succeeded", "the CMDB to answer", 8000);
  });

  test("a key that is replaced works without a restart", async () => {
    const { fleet } = world.world;
    makeKey(fleet.identityFile);
    for (const host of hosts) host.cut();
    const text = await commit();
    // So often that it waits long for the next attempt: the new key is what makes it go on.
    const failed = async (host: FleetHost) => {
      const [app] = (await world.host(host))?.status?.apps ?? [];
      return app?.reason === "AuthFailed" && app.attempts! >= 4;
    };
    await world.when(async () => (await failed(hosts[0]!)) && (await failed(hosts[1]!)), "the old key to be refused");
    const started = performance.now();
    await world.writeSecret();
    await arrives(text, 3500);
    process.stdout.write(`key replaced → files: ${Math.round(performance.now() - started)} ms\n`);
    await world.settled();
  });
});
