import { RESOURCES, type ResourceKind } from "../../config/resources.ts";
import { FssyncError } from "../../model/errors.ts";
import { apiError, isGone } from "../api-error.ts";
import type { JsonRequest, KubeClient } from "../client.ts";
import { GROUP, VERSION, type ObjectRef, type Resource } from "../objects.ts";

export interface ResourceApiOptions {
  readonly client: Pick<KubeClient, "json">;
  /** Asked before every request; once it says no, requests are refused with `Interrupted`. */
  readonly mayWrite?: () => boolean;
}

const PAGE = 500;
/** The answer to a deletion names what it deleted, whole; so fewer at a time. */
const DELETED_AT_A_TIME = 100;
const DELETE_TIMEOUT = 60_000;

/** The requests about our own resources. Throws ApiError, or `Interrupted` when it may not. */
export class ResourceApi {
  readonly #client: Pick<KubeClient, "json">;
  readonly #mayWrite: () => boolean;

  constructor({ client, mayWrite = () => true }: ResourceApiOptions) {
    this.#client = client;
    this.#mayWrite = mayWrite;
  }

  get(ref: ObjectRef): Promise<Resource> {
    return this.#request(pathOf(ref), {});
  }

  create({ kind, namespace }: ObjectRef, body: Resource): Promise<Resource> {
    return this.#request(collection(kind, namespace), { method: "POST", body });
  }

  patch(ref: ObjectRef, body: object): Promise<Resource> {
    return this.#request(pathOf(ref), { method: "PATCH", body, mergePatch: true });
  }

  patchStatus(ref: ObjectRef, body: object): Promise<Resource> {
    return this.#request(`${pathOf(ref)}/status`, { method: "PATCH", body, mergePatch: true });
  }

  async delete(ref: ObjectRef): Promise<void> {
    await this.#request(pathOf(ref), { method: "DELETE" });
  }

  /** Deletes by portions, so that none takes longer than a request may. */
  async deleteAll(kind: ResourceKind, namespace: string, labelSelector: string): Promise<void> {
    const query = { labelSelector, limit: DELETED_AT_A_TIME };
    for (let first: string | undefined; ;) {
      const options = { method: "DELETE", query, timeout: DELETE_TIMEOUT } as const;
      const { items = [] } = await this.#request<Page>(collection(kind, namespace), options);
      const next = items[0]?.metadata?.uid;
      // What a finalizer holds stays in the list: it is on its way, and the API server's to end.
      if (items.length < DELETED_AT_A_TIME || next === first) return;
      first = next;
    }
  }

  /** Whether there is any object with these labels. */
  async any(kind: ResourceKind, namespace: string, labelSelector: string): Promise<boolean> {
    const query = { limit: 1, labelSelector };
    const { items = [] } = await this.#request<Page>(collection(kind, namespace), { query });
    return items.length > 0;
  }

  /** All objects, page by page. Begins anew when the list got too old meanwhile. */
  async *list(kind: ResourceKind, namespace: string | null, labelSelector: string): AsyncIterable<Resource[]> {
    const seen = new Set<string>();
    for (let token: string | undefined; ;) {
      let page: Page;
      try {
        const query = { limit: PAGE, labelSelector, continue: token };
        page = await this.#request<Page>(collection(kind, namespace), { query });
      } catch (thrown) {
        if (token === undefined || !isGone(apiError(thrown))) throw thrown;
        token = undefined;
        continue;
      }
      const fresh = (page.items ?? []).filter(({ metadata }) => !seen.has(metadata?.uid ?? ""));
      for (const { metadata } of fresh) seen.add(metadata?.uid ?? "");
      yield fresh;
      token = page.metadata?.continue || undefined;
      if (token === undefined) return;
    }
  }

  async #request<Answer = Resource>(path: string, options: JsonRequest): Promise<Answer> {
    if (!this.#mayWrite()) throw new FssyncError("Interrupted", "this process does not lead any more");
    return (await this.#client.json(path, options)) as Answer;
  }
}

interface Page {
  readonly items?: Resource[];
  readonly metadata?: { readonly continue?: string };
}

/** Of one namespace, or of all for null. */
function collection(kind: ResourceKind, namespace: string | null): string {
  const within = namespace === null ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `/apis/${GROUP}/${VERSION}${within}/${RESOURCES[kind].plural}`;
}

function pathOf({ kind, namespace, name }: ObjectRef): string {
  return `${collection(kind, namespace)}/${encodeURIComponent(name)}`;
}
