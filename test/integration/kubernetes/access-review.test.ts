import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { AccessReview } from "../../../src/kubernetes/access-review.ts";
import type { Access, Action, Caller } from "../../../src/ports/access.ts";
import { recordedLog } from "../../support/fakes.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const READ: Action = { verb: "list", resource: "configapps" };
const OPERATE: Action = { verb: "update", resource: "configrepos" };

describeOwnKube("who may, by the API server", () => {
  let kube: Kube;
  let namespace: string;
  let clock: ManualClock;
  let access: Access;

  beforeAll(async () => {
    kube = await startKube();
    namespace = await kube.createNamespace("access");
    await role("reader", [{ apiGroups: ["fssync.dev"], resources: ["configapps"], verbs: ["get", "list"] }]);
    await role("operator", [{ apiGroups: ["fssync.dev"], resources: ["*"], verbs: ["get", "list", "update"] }]);
    await role("of-one", [
      { apiGroups: ["fssync.dev"], resources: ["configrepos"], resourceNames: ["mine"], verbs: ["update"] },
    ]);
    ({ clock, access } = reviewer(namespace));
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());

  function reviewer(followed: string | null) {
    const clock = new ManualClock();
    return {
      clock,
      access: new AccessReview({ client: kube.client(), namespace: followed, clock, log: recordedLog().log }),
    };
  }

  /** A Role, and a ServiceAccount of the same name that has it. */
  async function role(name: string, rules: object[]): Promise<void> {
    await kube.token(name, namespace);
    const metadata = { name, namespace };
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name };
    const subjects = [{ kind: "ServiceAccount", name, namespace }];
    const items = [
      { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata, rules },
      { apiVersion: "rbac.authorization.k8s.io/v1", kind: "RoleBinding", metadata, roleRef, subjects },
    ];
    await kube.kubectl(["apply", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) });
  }

  async function tokenOf(name: string): Promise<string> {
    const config = JSON.parse(readFileSync(await kube.token(name, namespace), "utf8")) as {
      users: [{ user: { token: string } }];
    };
    return config.users[0].user.token;
  }

  async function callerOf(name: string, by = access): Promise<Caller> {
    return (await by.authenticate(await tokenOf(name)))!;
  }

  test("a ServiceAccount is known by its token, with its groups", async () => {
    const caller = await callerOf("reader");
    expect(caller.name).toBe(`system:serviceaccount:${namespace}:reader`);
    expect(caller.groups).toContain(`system:serviceaccounts:${namespace}`);
  });

  test("no token, a wrong one, or one for another audience is nobody", async () => {
    const other = await kube.kubectl(["create", "token", "reader", "-n", namespace, "--audience=vault"]);
    const token = await tokenOf("reader");
    for (const wrong of ["nonsense", `${token.slice(0, -4)}AAAA`, other.trim()])
      await expect(access.authenticate(wrong)).resolves.toBeUndefined();
  });

  test("get and list are for reading, update is for operating", async () => {
    const [reader, operator] = [await callerOf("reader"), await callerOf("operator")];
    await expect(access.may(reader, READ)).resolves.toBe(true);
    await expect(access.may(reader, { ...READ, resource: "confighosts" })).resolves.toBe(false);
    await expect(access.may(reader, OPERATE)).resolves.toBe(false);
    await expect(access.may(operator, OPERATE)).resolves.toBe(true);
  });

  test("contents of secret files are a resource of their own", async () => {
    const secrets: Action = { verb: "get", resource: "configapps", subresource: "secrets" };
    const reader = await callerOf("reader");
    await expect(access.may(reader, { verb: "get", resource: "configapps" })).resolves.toBe(true);
    await expect(access.may(reader, secrets)).resolves.toBe(false);
    await role("puller", [{ apiGroups: ["fssync.dev"], resources: ["configapps/secrets"], verbs: ["get"] }]);
    await expect(access.may(await callerOf("puller"), secrets)).resolves.toBe(true);
  });

  test("a Role may name the repo", async () => {
    const caller = await callerOf("of-one");
    await expect(access.may(caller, { ...OPERATE, repo: "mine" })).resolves.toBe(true);
    await expect(access.may(caller, { ...OPERATE, repo: "theirs" })).resolves.toBe(false);
    await expect(access.may(caller, OPERATE)).resolves.toBe(false);
  });

  test("where all namespaces are followed, a repo's own namespace decides; all repos need all namespaces", async () => {
    const { access: everywhere } = reviewer(null);
    const reader = await callerOf("reader", everywhere);
    await expect(everywhere.may(reader, { ...READ, repo: `${namespace}/files` })).resolves.toBe(true);
    await expect(everywhere.may(reader, { ...READ, repo: "default/files" })).resolves.toBe(false);
    for (const repo of ["files", `/${namespace}`, ""])
      await expect(everywhere.may(reader, { ...READ, repo }), repo).resolves.toBe(false);
    await expect(everywhere.may(reader, READ)).resolves.toBe(false);
    const admin = (await everywhere.authenticate(kubeToken(kube)))!;
    await expect(everywhere.may(admin, READ)).resolves.toBe(true);
  });

  test("somebody whom it did not let in may nothing", async () => {
    await expect(access.may({ name: "system:masters", groups: ["system:masters"] }, READ)).resolves.toBe(false);
  });

  test("a revoked token is out after ten seconds, a new Role in", async () => {
    await kube.token("leaving", namespace);
    const token = await tokenOf("leaving");
    const caller = (await access.authenticate(token))!;
    await expect(access.may(caller, READ)).resolves.toBe(false);
    await role("leaving", [{ apiGroups: ["fssync.dev"], resources: ["configapps"], verbs: ["list"] }]);
    await expect(access.may(caller, READ)).resolves.toBe(false);
    clock.advance(10_000);
    // RBAC's own cache at the API server follows a write a little later.
    await expect.poll(() => (clock.advance(10_000), access.may(caller, READ)), { timeout: 10_000 }).toBe(true);

    await kube.kubectl(["delete", "serviceaccount", "leaving", "-n", namespace]);
    await expect(access.authenticate(token)).resolves.toBe(await access.authenticate(token));
    await expect.poll(() => (clock.advance(10_000), access.authenticate(token)), { timeout: 20_000 }).toBeUndefined();
  });

  test("who asks at once shares one review, and its answer holds for ten seconds", async () => {
    const { clock, access } = reviewer(namespace);
    const token = await tokenOf("reader");
    expect(await access.authenticate(token, { asks: false })).toBeUndefined();
    const callers = await Promise.all(Array.from({ length: 50 }, () => access.authenticate(token)));
    expect(new Set(callers).size).toBe(1);
    clock.advance(9999);
    expect(await access.authenticate(token)).toBe(callers[0]);
    expect(await access.authenticate(token, { asks: false })).toBe(callers[0]);
    clock.advance(1);
    expect(await access.authenticate(token, { asks: false })).toBeUndefined();
    expect(await access.authenticate(token)).not.toBe(callers[0]);
  });

  test("while the API server is away nobody gets in on an answer that is older, and the way back needs nothing", async () => {
    const { clock, access } = reviewer(namespace);
    const token = await tokenOf("reader");
    const caller = (await access.authenticate(token))!;
    await expect(access.may(caller, READ)).resolves.toBe(true);
    await kube.stopApiServer();
    await expect(access.authenticate(token)).resolves.toBe(caller);
    await expect(access.may(caller, READ)).resolves.toBe(true);
    clock.advance(10_000);
    await expect(access.authenticate(token)).rejects.toMatchObject({ reason: "KubernetesUnavailable" });
    await expect(access.may(caller, READ)).rejects.toMatchObject({ reason: "KubernetesUnavailable" });
    await kube.startApiServer();
    await expect(access.authenticate(token)).resolves.toMatchObject({ name: caller.name });
  });

  test("an API server that hangs is waited for in vain for five seconds", async () => {
    const { log } = recordedLog();
    const hanging = new AccessReview({ client: kube.client(), namespace, clock: systemClock, log });
    kube.pauseApiServer();
    try {
      await expect(hanging.authenticate("nonsense")).rejects.toMatchObject({ reason: "KubernetesUnavailable" });
    } finally {
      kube.resumeApiServer();
    }
  });
});

function kubeToken({ kubeconfig }: Kube): string {
  return (JSON.parse(readFileSync(kubeconfig, "utf8")) as { users: [{ user: { token: string } }] }).users[0].user.token;
}
