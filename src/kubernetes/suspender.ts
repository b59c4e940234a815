import { RESOURCES } from "../config/resources.ts";
import { appId } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import { parseHostText } from "../model/host.ts";
import { sleep, type Clock } from "../ports/clock.ts";
import type { Suspender, SuspendedTarget, SuspendRequest, SuspendTarget } from "../ports/suspender.ts";
import type { Controller } from "../reconcile/controller.ts";
import { apiError, isNotFound } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import { configAppName, configHostName, GROUP, VERSION, type ObjectRef } from "./objects.ts";
import { SUSPEND_REASON, SUSPENDED_AT, SUSPENDED_BY } from "./watched.ts";

/** How long the watch may take to bring back what was written. */
const WATCH_DEADLINE = 10_000;
const WATCH_PAUSE = 20;

export interface KubernetesSuspenderOptions {
  readonly client: KubeClient;
  /** The one that is watched; null for all: names of repos are `namespace/name` then. */
  readonly namespace: string | null;
  readonly controller: Controller;
  /** What the watched objects say. */
  readonly suspended: () => readonly SuspendedTarget[];
  readonly clock: Clock;
}

/** Writes `spec.suspend` of the custom resource, as a person with kubectl would, and who and why beside it. */
export class KubernetesSuspender implements Suspender {
  readonly #options: KubernetesSuspenderOptions;

  constructor(options: KubernetesSuspenderOptions) {
    this.#options = options;
  }

  async set(target: SuspendTarget, request: SuspendRequest, signal: AbortSignal): Promise<void> {
    const { kind, namespace, name } = this.#refOf(target);
    const path = `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${RESOURCES[kind].plural}/${name}`;
    const body = { metadata: { annotations: this.#annotations(request) }, spec: { suspend: request.suspend } };
    try {
      await this.#options.client.json(path, { method: "PATCH", mergePatch: true, body, signal });
    } catch (thrown) {
      if (!isNotFound(apiError(thrown))) throw thrown;
      throw new FssyncError("UnknownName", `no ${kind} ${name} in namespace ${namespace}`, { cause: thrown });
    }
    await this.#takenIn(target, request.suspend, signal);
  }

  async list(): Promise<readonly SuspendedTarget[]> {
    return this.#options.suspended();
  }

  #annotations({ suspend, by, reason }: SuspendRequest): Record<string, string | null> {
    const at = new Date(this.#options.clock.now()).toISOString();
    return {
      [SUSPENDED_BY]: suspend ? by : null,
      [SUSPEND_REASON]: suspend && reason !== "" ? reason : null,
      [SUSPENDED_AT]: suspend ? at : null,
    };
  }

  #refOf({ repo, app, host }: SuspendTarget): ObjectRef {
    const slash = repo.indexOf("/");
    const namespace = this.#options.namespace ?? repo.slice(0, slash);
    const name = this.#options.namespace === null ? repo.slice(slash + 1) : repo;
    if (app !== undefined) return { kind: "ConfigApp", namespace, name: configAppName(name, appId(app)) };
    if (host === undefined) return { kind: "ConfigRepo", namespace, name };
    const { address, port = 22 } = parseHostText(host)!;
    return { kind: "ConfigHost", namespace, name: configHostName(name, { address, port }) };
  }

  /** It is in effect when the watch has brought it back: what is stopped then begins nothing any more. */
  async #takenIn({ repo, app, host }: SuspendTarget, suspend: boolean, signal: AbortSignal): Promise<void> {
    const { controller, clock } = this.#options;
    const deadline = clock.monotonic() + WATCH_DEADLINE;
    const holds = () => {
      const now = controller.running.find((one) => one.repo === repo)?.suspension.now;
      if (app !== undefined) return now?.apps.has(app) ?? false;
      return (host === undefined ? now?.repo : now?.hosts.has(host)) ?? false;
    };
    while (holds() !== suspend) {
      if (signal.aborted || clock.monotonic() > deadline) throw notTakenIn(repo);
      await sleep(clock, WATCH_PAUSE, signal);
    }
  }
}

function notTakenIn(repo: string): FssyncError {
  const message = `repo ${repo}: spec.suspend is written, but the API server's watch has not brought it back yet; it takes effect when it does`;
  return new FssyncError("KubernetesUnavailable", message);
}
