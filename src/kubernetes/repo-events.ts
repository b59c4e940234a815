import { appId } from "../model/app.ts";
import { parseHostText } from "../model/host.ts";
import type { EventReason, Events, EventSubject } from "../ports/events.ts";
import { configAppName, configHostName, type ObjectRef, type RepoRef } from "./objects.ts";

/** Where events go; see `EventRecorder`. */
export interface EventSink {
  event(
    about: ObjectRef & { readonly uid?: string },
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ): void;
}

/** Events of one repo, each about the custom resource of what it names. */
export class RepoEvents implements Events {
  readonly #repo: RepoRef;
  readonly #uidOf: (name: string) => string | undefined;
  readonly #sink: EventSink;

  /** `uidOf` an object below the ConfigRepo, by its name: `kubectl describe` shows no event without it. */
  constructor(options: { repo: RepoRef; uidOf: (name: string) => string | undefined; sink: EventSink }) {
    this.#repo = options.repo;
    this.#uidOf = options.uidOf;
    this.#sink = options.sink;
  }

  record(about: EventSubject, type: "Normal" | "Warning", reason: EventReason, message: string): void {
    this.#sink.event(this.#object(about), type, reason, message);
  }

  #object({ app, host }: EventSubject): ObjectRef & { uid?: string } {
    const { namespace, name, uid } = this.#repo;
    if (host !== undefined) {
      const { address, port = 22 } = parseHostText(host)!;
      return this.#below("ConfigHost", configHostName(name, { address, port }));
    }
    if (app !== undefined) return this.#below("ConfigApp", configAppName(name, appId(app)));
    return { kind: "ConfigRepo", namespace, name, uid };
  }

  #below(kind: "ConfigApp" | "ConfigHost", name: string): ObjectRef & { uid?: string } {
    const uid = this.#uidOf(name);
    return { kind, namespace: this.#repo.namespace, name, ...(uid === undefined ? {} : { uid }) };
  }
}
