import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { systemClock } from "../../../src/clock/system-clock.ts";
import type { KubeClient } from "../../../src/kubernetes/client.ts";
import { GROUP, VERSION, type RepoRef, type Resource } from "../../../src/kubernetes/objects.ts";
import { StatusWriter } from "../../../src/kubernetes/store/status-writer.ts";
import { KubernetesStatusStore } from "../../../src/kubernetes/store/status-store.ts";
import type { Kube } from "../../support/kube.ts";
import { recordedLog } from "../../support/fakes.ts";

export interface StoreRig extends AsyncDisposable {
  readonly store: KubernetesStatusStore;
  readonly writer: StatusWriter;
  readonly lines: Record<string, unknown>[];
  /** Whether the process leads. */
  leads: boolean;
}

/** A store as one process has it; it flushes nothing when it ends, as a killed process. */
export function openStore(
  client: Pick<KubeClient, "json">,
  repos: Readonly<Record<string, RepoRef>>,
  options: { patience?: number; log?: Logger; inFlight?: number } = {},
): StoreRig {
  const { log, lines } = recordedLog();
  const rig = { leads: true };
  const common = { client, clock: systemClock, log, ...options };
  const writer = new StatusWriter({ ...common, mayWrite: () => rig.leads });
  const store = new KubernetesStatusStore({ ...common, writer, suspended: () => false });
  for (const [name, ref] of Object.entries(repos)) store.register(name, ref);
  const end = async () => {
    await store[Symbol.asyncDispose]();
    await writer[Symbol.asyncDispose]();
  };
  return Object.assign(rig, { store, writer, lines, [Symbol.asyncDispose]: end });
}

/** A ConfigRepo as users make it. */
export async function createRepo(client: KubeClient, namespace: string, name: string): Promise<RepoRef> {
  const made = (await client.json(`/apis/${GROUP}/${VERSION}/namespaces/${namespace}/configrepos`, {
    method: "POST",
    body: {
      apiVersion: `${GROUP}/${VERSION}`,
      kind: "ConfigRepo",
      metadata: { name },
      spec: {
        git: { url: "https://git.example.com/files.git" },
        inventory: { static: [] },
        ssh: { secretRef: { name: "ssh" } },
      },
    },
  })) as Resource;
  return { namespace, name, uid: made.metadata!.uid! };
}

export async function newRepo(
  kube: Kube,
  client: KubeClient,
  name = `r${randomBytes(3).toString("hex")}`,
): Promise<RepoRef> {
  return await createRepo(client, await kube.createNamespace("store"), name);
}
