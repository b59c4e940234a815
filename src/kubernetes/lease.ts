import { apiError, isNotFound } from "./api-error.ts";
import type { KubeClient, RequestOptions } from "./client.ts";

/** coordination.k8s.io/v1 Lease; what we do not know of it is written back as it was. */
export interface Lease {
  readonly metadata: { readonly resourceVersion?: string };
  readonly spec?: LeaseSpec;
}

export interface LeaseSpec {
  /** Empty when it was released. */
  readonly holderIdentity?: string | null;
  readonly leaseDurationSeconds?: number | null;
  readonly acquireTime?: string | null;
  readonly renewTime?: string | null;
  readonly leaseTransitions?: number | null;
}

/** One Lease; writes are compare-and-swap by its resourceVersion: who is late gets a conflict. */
export class LeaseClient {
  readonly #client: KubeClient;
  readonly #collection: string;
  readonly #name: string;

  constructor({ client, namespace, name }: { client: KubeClient; namespace: string; name: string }) {
    this.#client = client;
    this.#collection = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
    this.#name = name;
  }

  get path(): string {
    return this.#collection;
  }

  async read(limits: RequestOptions): Promise<Lease | undefined> {
    try {
      return (await this.#client.json(`${this.#collection}/${this.#name}`, limits)) as Lease;
    } catch (error) {
      if (isNotFound(apiError(error))) return undefined;
      throw error;
    }
  }

  async create(spec: LeaseSpec, limits: RequestOptions): Promise<Lease> {
    const metadata = { name: this.#name };
    const body = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec };
    return (await this.#client.json(this.#collection, { ...limits, method: "POST", body })) as Lease;
  }

  async update(lease: Lease, spec: LeaseSpec, limits: RequestOptions): Promise<Lease> {
    const body = { ...lease, spec: { ...lease.spec, ...spec } };
    return (await this.#client.json(`${this.#collection}/${this.#name}`, { ...limits, method: "PUT", body })) as Lease;
  }
}

/** Kubernetes' MicroTime: six digits, or the API server refuses it. */
export function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace("Z", "000Z");
}
