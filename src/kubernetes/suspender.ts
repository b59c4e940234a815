import type { Suspender, SuspendedTarget, SuspendRequest, SuspendTarget } from "../ports/suspender.ts";
import type { KubeClient } from "./client.ts";

/** Writes `spec.suspend` of the custom resource, as a person with kubectl would. */
export class KubernetesSuspender implements Suspender {
  readonly #client: KubeClient;

  constructor({ client }: { client: KubeClient }) {
    this.#client = client;
  }

  async set(target: SuspendTarget, _request: SuspendRequest, _signal: AbortSignal): Promise<void> {
    throw new Error(`not built yet: ${target.repo} ${this.#client.namespace}`);
  }

  async list(): Promise<readonly SuspendedTarget[]> {
    return [];
  }
}
