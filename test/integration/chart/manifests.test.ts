import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CHART } from "../../support/chart.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";

const FOLDER = join(CHART, "../../deploy/kubernetes");

describeOwnKube("deploy/kubernetes, for people without Helm", () => {
  let kube: Kube;

  beforeAll(async () => {
    kube = await startKube();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());

  test("is taken whole by the API server, in one go and again", async () => {
    const apply = ["apply", "--server-side", "--field-manager=helm", "--validate=strict", "-f", FOLDER];
    const told = (await kube.kubectl(apply)).trim().split("\n");
    for (const line of told) expect(line).toMatch(/ serverside-applied$/);
    expect(told).toEqual(
      expect.arrayContaining([
        "customresourcedefinition.apiextensions.k8s.io/configrepos.fssync.dev serverside-applied",
        "namespace/fssync serverside-applied",
        "deployment.apps/fssync serverside-applied",
      ]),
    );
    await kube.kubectl(["wait", "--for=condition=Established", "--timeout=30s", "-f", join(FOLDER, "crds.yaml")]);
    expect((await kube.kubectl(apply)).trim().split("\n")).toEqual(told);
  });

  test("has nothing whose version depends on that of the cluster", async () => {
    const kinds = await kube.kubectl(["get", "-f", FOLDER, "-o", "jsonpath={range .items[*]}{.kind} {end}"]);
    expect(kinds.split(" ")).toContain("Deployment");
    expect(kinds).not.toContain("PodDisruptionBudget");
  });
});
