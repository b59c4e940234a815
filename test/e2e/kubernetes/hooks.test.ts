import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { Candidate } from "../../support/kube/candidate.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import { PROOFS } from "../../support/webhook-proofs.ts";

const FILE = "nginx/prod/web/etc/a.conf";
const PUSH = JSON.stringify({ ref: "refs/heads/main" });

describeOwnKube("webhooks in Kubernetes", () => {
  let kube: Kube;
  let world: KubeWorld;
  let leader: Candidate;
  let follower: Candidate;
  let commits = 0;
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    kube = stack.use(await startKube());
    await kube.applyCrds();
    world = stack.use(await KubeWorld.create({ kube, hosts: 2, files: { [FILE]: "0\n" } }));
    await world.apply({ git: { interval: "1d", webhook: { secretRef: { name: "hook" } } } });
    leader = stack.use(await Candidate.start({ world, name: "a", kubeconfig: kube.kubeconfig }));
    await until(() => leader.leads(), 20_000, "a to lead");
    follower = stack.use(await Candidate.start({ world, name: "b", kubeconfig: kube.kubeconfig }));
    await follower.ready();
    await world.settled();
  });
  afterAll(() => stack.disposeAsync());

  /** A push as GitHub signs it: the body must arrive as it was sent. */
  async function push(through: Candidate, secret: string): Promise<number> {
    const headers = { "content-type": "application/json", "x-github-event": "push", ...PROOFS.github(secret, PUSH) };
    const answer = await fetch(`${through.url}/hooks/github`, { method: "POST", headers, body: PUSH });
    await answer.arrayBuffer();
    return answer.status;
  }

  async function putSecret(token: string): Promise<void> {
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "hook" }, stringData: { token } };
    await kube.kubectl(["-n", world.namespace, "apply", "-f", "-"], { input: JSON.stringify(secret) });
  }

  async function arrives(through: Candidate, secret: string): Promise<void> {
    await world.world.repo.commit({ [FILE]: `${++commits}\n` });
    expect(await push(through, secret)).toBe(202);
    await world.settled();
  }

  test("none is believed before its Secret is there, and soon after it is", async () => {
    expect(await push(leader, "the-first-secret")).toBe(401);
    expect(leader.log.filter(({ msg }) => msg === "webhooks cannot be verified")).toHaveLength(1);
    await putSecret("the-first-secret");
    await until(async () => (await push(leader, "the-first-secret")) === 202, 15_000, "the Secret to hold");
    await arrives(leader, "the-first-secret");
  });

  test("a pod that follows passes it on", async () => {
    await arrives(follower, "the-first-secret");
    expect(await push(follower, "wrong")).toBe(401);
  });

  test("a changed Secret holds, and the one before no more", async () => {
    await putSecret("the-second-secret");
    await until(async () => (await push(leader, "the-second-secret")) === 202, 15_000, "the new Secret to hold");
    expect(await push(leader, "the-first-secret")).toBe(401);
    await arrives(leader, "the-second-secret");
  });

  test("the next leader believes it too", async () => {
    await leader.stop();
    await until(() => follower.leads(), 30_000, "b to lead");
    await until(async () => (await push(follower, "the-second-secret")) === 202, 15_000, "b to answer");
    await arrives(follower, "the-second-secret");
  });
});
