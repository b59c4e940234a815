import type { Suspender, SuspendedTarget, SuspendRequest, SuspendTarget } from "../ports/suspender.ts";
import type { Controller } from "./controller.ts";

/** Keeps what people suspend over HTTP in the status store of a process that is alone. */
export class StoredSuspender implements Suspender {
  readonly #controller: Controller;

  constructor({ controller }: { controller: Controller }) {
    this.#controller = controller;
  }

  async set(target: SuspendTarget, _request: SuspendRequest, _signal: AbortSignal): Promise<void> {
    throw new Error(`not built yet: ${target.repo} ${this.#controller.repos.length}`);
  }

  async list(): Promise<readonly SuspendedTarget[]> {
    return [];
  }
}
