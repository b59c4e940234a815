import { apiError, isNotFound } from "./api-error.ts";
import type { KubeClient, RequestOptions } from "./client.ts";
import { GROUP } from "./objects.ts";

/** Where the API of the Lease's holder is, as an URL: followers pass requests on to it. */
const API = `${GROUP}/api`;

/** `http://10.1.2.3:8080`, and nothing behind it. */
const ADDRESS = /^https?:\/\/(\[[0-9a-f:.]+\]|[\w.-]+):\d{1,5}$/;

/** coordination.k8s.io/v1 Lease; what we do not know of it is written back as it was. */
export interface Lease {
  readonly metadata: { readonly resourceVersion?: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: LeaseSpec;
}

/** What a Lease is to say. */
export interface LeaseChange {
  readonly spec: LeaseSpec;
  /** Where the holder's API is; what the Lease said of it goes when it is undefined. */
  readonly api: string | undefined;
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

  async create({ spec, api }: LeaseChange, limits: RequestOptions): Promise<Lease> {
    const metadata = { name: this.#name, annotations: { [API]: api } };
    const body = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec };
    return (await this.#client.json(this.#collection, { ...limits, method: "POST", body })) as Lease;
  }

  async update(lease: Lease, { spec, api }: LeaseChange, limits: RequestOptions): Promise<Lease> {
    const metadata = { ...lease.metadata, annotations: { ...lease.metadata.annotations, [API]: api } };
    const body = { ...lease, metadata, spec: { ...lease.spec, ...spec } };
    return (await this.#client.json(`${this.#collection}/${this.#name}`, { ...limits, method: "PUT", body })) as Lease;
  }
}

/** Undefined also for what is none: people can write there. */
export function apiOf({ metadata }: Lease): string | undefined {
  const api = metadata.annotations?.[API];
  return api !== undefined && ADDRESS.test(api) && URL.canParse(api) ? api : undefined;
}

/** Kubernetes' MicroTime: six digits, or the API server refuses it. */
export function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace("Z", "000Z");
}
