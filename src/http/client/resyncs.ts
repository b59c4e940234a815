import { appKey, type AppId } from "../../model/app.ts";
import { FssyncError } from "../../model/errors.ts";
import { hostKey } from "../../model/host.ts";
import type { LeftAlone } from "../../reconcile/left-alone.ts";
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
  ): Promise<{ hosts: number; leftAlone: readonly LeftAlone[] }> {
    let operation = await this.#client.post<Operation>("/api/v1/sync", { ...named, full: true }, signal);
    const path = `/api/v1/operations/${operation.id}?wait=${LOOK}`;
    while (!isBegun(operation)) operation = await this.#client.get<Operation>(path, signal);
    const { error, counts, leftAlone = [] } = operation;
    // What befalls hosts is told of them; this is of the whole.
    if (error) throw new FssyncError(reasonNamed(error.reason, "Internal"), error.message);
    return { hosts: counts.total - counts.upToDate - counts.suspended, leftAlone: leftAlone.map(leftAloneOf) };
  }
}

function leftAloneOf(said: NonNullable<Operation["leftAlone"]>[number]): LeftAlone {
  const { repo, mod, env, app, address, port, by, reason, hosts } = said;
  return {
    repo,
    ...(mod !== undefined && env !== undefined && app !== undefined && { app: appKey({ mod, env, app }) }),
    ...(address !== undefined && { host: hostKey(address, port ?? 22) }),
    ...(by !== undefined && { by }),
    ...(reason !== undefined && { reason }),
    hosts,
  };
}

/** Git and the inventory were asked, and the hosts are in the queue. */
function isBegun({ phase, revisions }: Operation): boolean {
  return phase !== "Running" || revisions.length > 0;
}
