import type { AppId } from "../../model/app.ts";
import { FssyncError } from "../../model/errors.ts";
import type { Operation } from "../schemas/operation.ts";
import type { ApiClient } from "./api-client.ts";
import { reasonNamed } from "./refusal.ts";

/** How long one request waits for the controller to have asked Git and the inventory. */
const LOOK = "250ms";

/** Asks a controller for forced resyncs. */
export class ApiResyncs {
  readonly #client: ApiClient;

  constructor(client: ApiClient) {
    this.#client = client;
  }

  /** Resolves when it is known how many hosts are synced; does not wait for them. Throws as the client does. */
  async ask(
    named: AppId | { readonly hosts: readonly string[] },
    signal: AbortSignal,
  ): Promise<{ hosts: number; suspended: readonly string[] }> {
    let operation = await this.#client.post<Operation>("/api/v1/sync", { ...named, full: true }, signal);
    const path = `/api/v1/operations/${operation.id}?wait=${LOOK}`;
    while (!isBegun(operation)) operation = await this.#client.get<Operation>(path, signal);
    const { error, counts, revisions } = operation;
    // What befalls hosts is told of them; this is of the whole.
    if (error) throw new FssyncError(reasonNamed(error.reason, "Internal"), error.message);
    const repos = new Set(revisions.map(({ repo }) => repo));
    return {
      hosts: counts.total - counts.upToDate - counts.suspended,
      suspended: await this.#suspended(repos, signal),
    };
  }

  async #suspended(repos: ReadonlySet<string>, signal: AbortSignal): Promise<string[]> {
    const { items } = await this.#client.get<{ items: { name: string; suspended: boolean }[] }>(
      "/api/v1/repos",
      signal,
    );
    return items.filter(({ name, suspended }) => suspended && repos.has(name)).map(({ name }) => name);
  }
}

/** Git and the inventory were asked, and the hosts are in the queue. */
function isBegun({ phase, revisions }: Operation): boolean {
  return phase !== "Running" || revisions.length > 0;
}
