import { afterAll, beforeAll } from "vitest";
import type { KubeClient } from "../../../src/kubernetes/client.ts";
import type { RepoRef } from "../../../src/kubernetes/objects.ts";
import type { StatusStore } from "../../../src/ports/status-store.ts";
import { statusStoreContract } from "../../contract/status-store.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import { createRepo, openStore } from "./store-rig.ts";

describeKube("the status store in Kubernetes", () => {
  let kube: Kube;
  let client: KubeClient;

  beforeAll(async () => {
    kube = await startKube();
    client = kube.client();
    await kube.applyCrds();
  });

  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
  });

  async function newStore(): Promise<StatusStore> {
    const namespace = await kube.createNamespace("store");
    const repos: Record<string, RepoRef> = {};
    for (const name of ["files", "one", "two"]) repos[name] = await createRepo(client, namespace, name);
    const rig = openStore(client, repos);
    const end = () => rig.writer[Symbol.asyncDispose]();
    return Object.assign(rig.store, { [Symbol.asyncDispose]: end });
  }

  statusStoreContract("kubernetes", newStore, { oddNames: false });
});
