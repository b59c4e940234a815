import { ApiError } from "../../src/kubernetes/api-error.ts";
import type { JsonRequest, KubeClient } from "../../src/kubernetes/client.ts";
import type { Resource } from "../../src/kubernetes/objects.ts";

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

type Held = Record<string, unknown> & { metadata: NonNullable<Resource["metadata"]> };

/**
 * The API server's manners in memory: resource versions, generations, the status subresource, merge
 * patches, 404 and 409. For faults that cannot be made for real, and for thousands of quick runs.
 */
export class FakeKubeApi implements Pick<KubeClient, "json"> {
  readonly requests: FakeRequest[] = [];
  readonly objects = new Map<string, Held>();
  /** Requests that wait for their turn, and the most there were at a time. */
  inFlight = 0;
  mostInFlight = 0;
  /** Called before a request is carried out: what it throws is the answer, and it may keep it waiting. */
  before: (request: FakeRequest) => Promise<void> | void = () => {};
  #version = 0;

  async json(path: string, { method = "GET", query, body }: JsonRequest = {}): Promise<unknown> {
    const request = { method, path, body: structuredClone(body) };
    this.requests.push(request);
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      await this.before(request);
      return structuredClone(this.#answer(request, (query ?? {}) as Record<string, string>));
    } finally {
      this.inFlight -= 1;
    }
  }

  object(name: string): Held | undefined {
    return [...this.objects.values()].find(({ metadata }) => metadata.name === name);
  }

  /** What somebody else does to an object. */
  touch(name: string): void {
    const object = this.object(name)!;
    object.metadata.resourceVersion = this.#next();
  }

  #answer({ method, path, body }: FakeRequest, query: Record<string, string>): unknown {
    const [, , , , , namespace = "", plural = "", name, sub] = path.split("/");
    const key = `${namespace}/${plural}/${name}`;
    if (name === undefined && method === "POST") return this.#create(`${namespace}/${plural}`, body as Held);
    if (name === undefined) return this.#collection(`${namespace}/${plural}/`, method, query);
    const object = this.objects.get(key);
    if (!object) throw refusal(404, `${key} not found`);
    if (method === "DELETE") this.objects.delete(key);
    if (method === "PATCH") this.#patch(object, body as Held, sub === "status" ? "status" : "spec");
    return object;
  }

  #create(where: string, body: Held): Held {
    const made = structuredClone(body);
    const key = `${where}/${made.metadata.name}`;
    if (this.objects.has(key)) throw refusal(409, `${key} already exists`);
    const version = this.#next();
    delete made["status"];
    Object.assign(made.metadata, { uid: `uid-${version}`, resourceVersion: version, generation: 1 });
    this.objects.set(key, made);
    return made;
  }

  #collection(prefix: string, method: string, { labelSelector }: Record<string, string>): unknown {
    const [label = "", value] = (labelSelector ?? "").split("=");
    const found = [...this.objects].filter(([key, { metadata }]) => {
      return key.startsWith(prefix) && (!labelSelector || metadata.labels?.[label] === value);
    });
    if (method === "DELETE") for (const [key] of found) this.objects.delete(key);
    return { items: found.map(([, object]) => object), metadata: {} };
  }

  #patch(object: Held, body: Held, part: "spec" | "status"): void {
    const { metadata } = object;
    const wanted = body.metadata?.resourceVersion;
    if (wanted !== undefined && wanted !== metadata.resourceVersion) throw refusal(409, "the object has been modified");
    object[part] = mergePatched(object[part], body[part]);
    const { resourceVersion: _, ...rest } = body.metadata ?? {};
    if (part === "spec") Object.assign(metadata, mergePatched(metadata, rest));
    metadata.resourceVersion = this.#next();
    if (part === "spec") metadata.generation = (metadata.generation ?? 1) + 1;
  }

  #next(): string {
    this.#version += 1;
    return String(this.#version);
  }
}

/** As the API server answers with this status; 0 is no answer at all. */
export function refusal(status: number, message = "no", retryAfter: number | null = null): ApiError {
  const unavailable = status === 0 || status === 429 || status >= 500;
  const reason = unavailable ? "KubernetesUnavailable" : status === 403 ? "KubernetesForbidden" : "Internal";
  return new ApiError(reason, `${status}: ${message}`, { status, retryAfter });
}

/** RFC 7386. */
function mergePatched(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = mergePatched(merged[key], value);
  }
  return merged;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
