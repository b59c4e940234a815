import { createInterface } from "node:readline/promises";
import { Client } from "undici";
import { asFssyncError, FssyncError, type Reason } from "../model/errors.ts";
import type { PlanReport } from "../plan/plan-report.ts";
import type {
  Desk,
  PassResult,
  SyncProgress,
  SyncRequest,
  VerifyRequest,
  VerifyResult,
} from "../reconcile/controller.ts";
import type { Named } from "../reconcile/selection.ts";
import type { ControlLine } from "./json-lines.ts";

/** The desk of the controller that listens on a control socket. */
export class ControlClient implements Desk {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  sync(request: SyncRequest, progress: (event: SyncProgress) => void, signal: AbortSignal): Promise<PassResult> {
    const { apps, hosts, full, allowPrune } = request;
    return this.#ask("/sync", { apps, hosts, full, allowPrune }, progress, signal);
  }

  verify(request: VerifyRequest, progress: (event: SyncProgress) => void, signal: AbortSignal): Promise<VerifyResult> {
    const { apps, hosts, contents } = request;
    return this.#ask("/verify", { apps, hosts, contents }, progress, signal);
  }

  plan({ apps, hosts }: Named, signal: AbortSignal): Promise<PlanReport> {
    return this.#ask<never, PlanReport>("/plan", { apps, hosts }, () => {}, signal);
  }

  async #ask<Event, Result>(
    path: string,
    body: object,
    onEvent: (event: Event) => void,
    signal: AbortSignal,
  ): Promise<Result> {
    // A sync may be silent for as long as its slowest host.
    const client = new Client("http://localhost", { socketPath: this.#socket, headersTimeout: 0, bodyTimeout: 0 });
    try {
      const headers = { "content-type": "application/json" };
      const answer = await client.request({ method: "POST", path, headers, body: JSON.stringify(body), signal });
      for await (const text of createInterface({ input: answer.body, crlfDelay: Infinity })) {
        const line = JSON.parse(text) as ControlLine<Event, Result>;
        if ("event" in line) onEvent(line.event);
        else if ("result" in line) return line.result;
        else throw new FssyncError((line.error.reason ?? "Internal") as Reason, line.error.message);
      }
      throw new Error("it went away before it was done");
    } catch (error) {
      if (error instanceof FssyncError) throw error;
      if (signal.aborted)
        throw new FssyncError("Interrupted", "stopped before the controller had answered; it goes on");
      throw this.#unanswered(error);
    } finally {
      await client.destroy();
    }
  }

  #unanswered(error: unknown): FssyncError {
    const { message } = asFssyncError(error);
    const code = (error as NodeJS.ErrnoException).code;
    const nobody = code === "ENOENT" || code === "ECONNREFUSED";
    const what = nobody ? "nobody listens at" : "asked at";
    return new FssyncError(nobody ? "NoController" : "ControllerLost", `${what} ${this.#socket}: ${message}`, {
      cause: error,
    });
  }
}
