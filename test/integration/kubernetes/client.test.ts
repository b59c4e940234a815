import { afterAll, beforeAll, expect, test } from "vitest";
import { apiError, isConflict, isNotFound, type ApiError } from "../../../src/kubernetes/api-error.ts";
import { mergePatch, requestOptions, type KubeClient } from "../../../src/kubernetes/client.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";

describeOwnKube("the client of the API server", () => {
  let kube: Kube;
  let client: KubeClient;
  let namespace: string;

  beforeAll(async () => {
    kube = await startKube();
    client = kube.client();
    namespace = await kube.createNamespace();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());

  async function failure(promise: Promise<unknown>): Promise<ApiError> {
    return promise.then(
      () => expect.unreachable("it succeeded"),
      (error: unknown) => apiError(error),
    );
  }

  test("merge patches change one key and leave the others", async () => {
    await client.core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name: "merged" }, data: { a: "1", b: "2" } },
    });
    const options = { name: "merged", namespace, body: { data: { a: null, c: "3" } } };
    const patched = await client.core.patchNamespacedConfigMap(options, mergePatch);
    expect(patched.data).toEqual({ b: "2", c: "3" });
    const path = `/api/v1/namespaces/${namespace}/configmaps/merged`;
    const again = await client.json(path, { method: "PATCH", body: { data: { d: "4" } }, mergePatch: true });
    expect(again).toMatchObject({ data: { b: "2", c: "3", d: "4" } });
  });

  test("what is missing, there already or forbidden is told apart", async () => {
    const missing = await failure(client.core.readNamespacedConfigMap({ namespace, name: "nobody" }));
    expect(isNotFound(missing)).toBe(true);
    expect(missing.message).toBe(
      `GET /api/v1/namespaces/${namespace}/configmaps/nobody: 404: configmaps "nobody" not found`,
    );
    const twice = { namespace, body: { metadata: { name: "twice" } } };
    await client.core.createNamespacedConfigMap(twice);
    expect(isConflict(await failure(client.core.createNamespacedConfigMap(twice)))).toBe(true);

    const poor = kube.client(await kube.token("poor", namespace));
    expect(poor.namespace).toBe(namespace);
    const forbidden = await failure(
      poor.custom.listNamespacedCustomObject({
        group: "fssync.dev",
        version: "v1alpha1",
        namespace,
        plural: "configapps",
      }),
    );
    expect(forbidden).toMatchObject({ status: 403, reason: "KubernetesForbidden" });
    expect(forbidden.message).toMatch(
      `ServiceAccount ${namespace}/poor may not list configapps.fssync.dev in namespace ${namespace}`,
    );
  });

  test("custom resources that the cluster does not know are CrdMissing", async () => {
    const missing = await failure(client.json("/apis/fssync.dev/v1alpha1/configrepos"));
    expect(missing).toMatchObject({ status: 404, reason: "CrdMissing" });
  });

  test("a time limit need not be whole milliseconds", async () => {
    await expect(client.json("/api/v1/namespaces", { timeout: 1919.775 })).resolves.toMatchObject({
      kind: "NamespaceList",
    });
  });

  test("an API server that hangs is left after the time limit, one that is away at once", async () => {
    const late = expect.stringMatching(/^GET \/api\/v1\/.*: no answer within the time limit$/) as string;
    kube.pauseApiServer();
    try {
      const started = performance.now();
      const hung = await failure(
        client.core.readNamespacedConfigMap({ namespace, name: "any" }, requestOptions({ timeout: 300 })),
      );
      expect(hung).toMatchObject({ status: 0, reason: "KubernetesUnavailable", message: late });
      expect(performance.now() - started).toBeLessThan(2000);
      const asked = new AbortController();
      const open = client.open("/api/v1/namespaces", { query: { watch: true }, signal: asked.signal, timeout: 300 });
      expect(await failure(open)).toMatchObject({ status: 0, reason: "KubernetesUnavailable", message: late });
      const stopped = failure(client.json("/api/v1/namespaces", { signal: asked.signal }));
      asked.abort();
      expect(await stopped).toMatchObject({ status: 0, reason: "Interrupted" });
    } finally {
      kube.resumeApiServer();
    }
    await kube.stopApiServer();
    const away = await failure(client.json("/api/v1/namespaces"));
    expect(away).toMatchObject({
      status: 0,
      reason: "KubernetesUnavailable",
      message: expect.stringContaining("ECONN"),
    });
    await kube.startApiServer();
    await client.json("/api/v1/namespaces");
  });

  test("many watches do not starve requests", async () => {
    using ended = new (class extends AbortController {
      [Symbol.dispose]() {
        this.abort();
      }
    })();
    const watches = await Promise.all(
      Array.from({ length: 40 }, () =>
        client.open("/api/v1/namespaces", { query: { watch: true }, signal: ended.signal }),
      ),
    );
    for (const watch of watches) watch.on("error", () => {}).resume();
    const one = { namespace, body: { metadata: { generateName: "beside-" } } };
    await Promise.all(Array.from({ length: 100 }, () => client.core.createNamespacedConfigMap(one)));
  });
});
