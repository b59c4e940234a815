import type { Logger } from "pino";
import type { AppKey } from "../../model/app.ts";
import { FssyncError } from "../../model/errors.ts";
import type { HostKey } from "../../model/host.ts";
import type { RepoStatus } from "../../ports/status-store.ts";
import type { KubeClient } from "../client.ts";
import type { RepoRef } from "../objects.ts";
import { watchedRepo } from "../watched.ts";
import { RepoMemory } from "./repo-memory.ts";
import { ResourceApi } from "./resource-api.ts";
import { StatusLoader } from "./status-loader.ts";

/** Reads the status of every ConfigRepo beside the controller that writes it. */
export class KubernetesStatusReader implements AsyncDisposable {
  readonly #client: KubeClient;
  readonly #namespace: string | null;
  readonly #log: Logger;
  readonly #api: ResourceApi;
  readonly #repos = new Map<string, { readonly ref: RepoRef; readonly suspend: boolean }>();
  readonly #holds = new Map<string, (app: AppKey, host: HostKey) => boolean>();

  /** `namespace` null: all of them, and the names of repos are `namespace/name`. The client is ended with it. */
  constructor({ client, namespace, log }: { client: KubeClient; namespace: string | null; log: Logger }) {
    this.#client = client;
    this.#namespace = namespace;
    this.#log = log;
    this.#api = new ResourceApi({ client });
  }

  get where(): string {
    return this.#namespace === null ? "any namespace" : `namespace ${this.#namespace}`;
  }

  async repos(): Promise<string[]> {
    for await (const page of this.#api.list("ConfigRepo", this.#namespace, "")) {
      for (const object of page) {
        const { ref, suspend } = watchedRepo(object);
        this.#repos.set(this.#namespace === null ? `${ref.namespace}/${ref.name}` : ref.name, { ref, suspend });
      }
    }
    return [...this.#repos.keys()].sort();
  }

  /** Of one that `repos` has named. */
  async load(repo: string): Promise<RepoStatus> {
    const known = this.#repos.get(repo);
    if (!known) throw new FssyncError("UnknownName", `no ConfigRepo ${repo}`);
    const nobody = { observed: () => {}, remove: () => Promise.resolve() };
    const memory = new RepoMemory(known.ref);
    const unwritten = { waiting: [], removes: () => false };
    const loader = new StatusLoader({ memory, api: this.#api, writer: nobody, unwritten, log: this.#log });
    const status = await loader.load();
    const { apps, hosts } = loader.suspended;
    this.#holds.set(repo, (app, host) => known.suspend || apps.has(app) || hosts.has(host));
    return status;
  }

  /** Where people have stopped work, as of the last `load`. */
  suspended(repo: string, app: AppKey, host: HostKey): boolean {
    return this.#holds.get(repo)?.(app, host) ?? false;
  }

  /** Whether people have stopped all work on the repo, as of `repos`. */
  repoSuspended(repo: string): boolean {
    return this.#repos.get(repo)?.suspend ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }
}
