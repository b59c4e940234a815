import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, afterEach, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { Candidate } from "../../support/kube/candidate.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import { asChart, grant } from "./chart-account.ts";

describeOwnKube("the API in Kubernetes", () => {
  let kube: Kube;
  let world: KubeWorld;
  let stack: AsyncDisposableStack;

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    world = await KubeWorld.create({ kube, hosts: 2, files: { "nginx/prod/web/etc/a.conf": "0\n" } });
    stack.use(world);
    await world.apply();
  });
  afterEach(() => stack.disposeAsync());

  /** Two that may lead, the first of which does. */
  async function two(...args: string[]): Promise<[leader: Candidate, follower: Candidate]> {
    const leader = stack.use(await Candidate.start({ world, name: "a", kubeconfig: kube.kubeconfig, args }));
    await until(() => leader.leads(), 60_000, "a to lead");
    const follower = stack.use(await Candidate.start({ world, name: "b", kubeconfig: kube.kubeconfig, args }));
    await follower.ready();
    await world.settled(2);
    return [leader, follower];
  }

  /** A ServiceAccount's token, with a Role of these verbs on these resources. */
  async function tokenWith(name: string, verbs: string[], resources: string[]): Promise<string> {
    const kubeconfig = await kube.token(name, world.namespace);
    await world.kubectl("create", "role", name, `--verb=${verbs.join()}`, `--resource=${resources.join()}`);
    const account = `--serviceaccount=${world.namespace}:${name}`;
    await world.kubectl("create", "rolebinding", name, `--role=${name}`, account);
    return (JSON.parse(readFileSync(kubeconfig, "utf8")) as { users: [{ user: { token: string } }] }).users[0].user
      .token;
  }

  const ours = (...names: string[]) => names.map((name) => `${name}.fssync.dev`);
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  test("a ServiceAccount may what its Role says", async () => {
    const controller = await world.start("a", { args: ["--kubernetes-auth"], ...(await asChart(world)) });
    await world.settled(2);
    const reader = await tokenWith("reader", ["get", "list"], ours("configrepos", "configapps", "confighosts"));
    const stranger = await tokenWith("stranger", ["get"], ["configmaps"]);
    const get = (path: string, headers: Record<string, string> = {}) => fetch(`${controller.url}${path}`, { headers });

    expect((await get("/api/v1/repos")).status).toBe(401);
    expect((await get("/api/v1/repos", bearer("nonsense"))).status).toBe(401);
    const refused = await get("/api/v1/repos", bearer(stranger));
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({
      reason: "Unauthorized",
      detail: `system:serviceaccount:${world.namespace}:stranger may not list configrepos.fssync.dev of all repos`,
    });
    expect((await get("/api/v1/repos", bearer(reader))).status).toBe(200);
    const change = { method: "POST", headers: { ...bearer(reader), "content-type": "application/json" } };
    const sync = await fetch(`${controller.url}/api/v1/sync`, {
      ...change,
      body: JSON.stringify({ repo: "files", full: true }),
    });
    expect(sync.status).toBe(403);
    expect((await get("/metrics")).status).toBe(200);
  });

  test("a controller that may not ask who callers are lets nobody in, and says why, until it may", async () => {
    const values = { api: { rbac: { create: false } } };
    const controller = await world.start("a", { args: ["--kubernetes-auth"], ...(await asChart(world, { values })) });
    const reader = await tokenWith("reader", ["list"], ours("configrepos"));
    const get = () => fetch(`${controller.url}/api/v1/repos`, { headers: bearer(reader) });
    const refused = await get();
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).not.toBeNull();
    expect(await refused.json()).toMatchObject({ reason: "KubernetesForbidden" });
    expect(JSON.stringify(controller.logged("KubernetesForbidden"))).toContain("tokenreviews");
    await grant(world);
    await until(async () => (await get()).status === 200, 30_000, "the reader to be let in");
  }, 90_000);

  test("the Roles of docs/kubernetes.md let a ServiceAccount read and operate", async () => {
    const controller = await world.start("a", { args: ["--kubernetes-auth"] });
    await world.settled(2);
    const page = readFileSync(join(import.meta.dirname, "../../../docs/kubernetes.md"), "utf8");
    const block = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].find(([, text]) =>
      text!.includes("fssync-operate"),
    );
    const roles = block![1]!.replaceAll("namespace: fssync", `namespace: ${world.namespace}`);
    await kube.kubectl(["apply", "-f", "-"], { input: roles });
    const token = (await world.kubectl("create", "token", "deployer")).trim();
    const headers = { ...bearer(token), "content-type": "application/json" };
    expect((await fetch(`${controller.url}/api/v1/status`, { headers })).status).toBe(200);
    const body = JSON.stringify({ repo: "files", app: "web" });
    const sync = await fetch(`${controller.url}/api/v1/sync?wait=30s`, { method: "POST", headers, body });
    expect(sync.status).toBe(200);
  });

  test("without an authentication no other address than loopback is listened on", async () => {
    const controller = await world.launch("a", { args: ["--listen", ":0"] });
    const { code, stderr } = await controller.running.ended;
    expect(code).toBe(1);
    expect(stderr).toContain("InvalidSpec: --listen :0: without authentication");
    expect(stderr).toContain("--kubernetes-auth");
  });

  test("a follower passes on what it is asked, and who asks", async () => {
    const operator = await tokenWith(
      "operator",
      ["get", "list", "update"],
      ours("configrepos", "configapps", "confighosts"),
    );
    const [leader, follower] = await two("--kubernetes-auth");
    const headers = { ...bearer(operator), "content-type": "application/json", "x-request-id": "seen-by-both" };
    const [ofLeader, ofFollower] = await Promise.all(
      [leader, follower].map(async ({ url }) => (await fetch(`${url}/api/v1/repos`, { headers })).json()),
    );
    expect(ofFollower).toEqual(ofLeader);
    expect((await fetch(`${follower.url}/api/v1/repos`)).status).toBe(401);

    const sync = { method: "POST", headers, body: JSON.stringify({ repo: "files", full: true }) };
    const answer = await fetch(`${follower.url}/api/v1/sync?wait=30s`, sync);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-request-id")).toBe("seen-by-both");
    const who = `system:serviceaccount:${world.namespace}:operator`;
    expect(follower.logged("ApiForwarded").at(-1)).toMatchObject({ who, from: "127.0.0.1", reqId: "seen-by-both" });
    expect(leader.logged("ApiCall").at(-1)).toMatchObject({ who, reqId: "seen-by-both" });
    expect(follower.logged("ApiCall")).toEqual([]);
  });

  test("a watch through a follower sees commits, and ends when the leader is killed; the next one leads", async () => {
    const [leader, follower] = await two();
    const answer = await fetch(`${follower.url}/api/v1/apps?watch=true`);
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    let seen = "";
    const reading = (async () => {
      for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) seen += chunk;
    })().catch(() => {});
    await until(() => Promise.resolve(seen.includes("event: synced")), 10_000, "the first state");
    const head = await world.world.repo.commit({ "nginx/prod/web/etc/a.conf": "1\n" });
    await until(() => Promise.resolve(seen.includes(head)), 20_000, `${head} in ${seen}`);

    await leader.kill();
    await reading;
    const during = await fetch(`${follower.url}/api/v1/repos`);
    expect([200, 502, 503]).toContain(during.status);
    if (during.status === 503) expect(during.headers.get("retry-after")).not.toBeNull();
    await until(() => follower.leads(), 60_000, "b to lead");
    await until(async () => (await fetch(`${follower.url}/api/v1/repos`)).status === 200, 20_000, "b to answer");
  }, 180_000);
});
