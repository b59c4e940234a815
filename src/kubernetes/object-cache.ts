import type { KubernetesObject } from "@kubernetes/client-node";
import type { Logger } from "pino";

export interface ObjectCacheOptions<Kept> {
  keep(object: KubernetesObject): Kept;
  changed(key: string, now: Kept | undefined, before: Kept | undefined): void;
  readonly log: Logger;
}

/** What is kept of each object; tells each change once. Neither `keep` nor `changed` can stop it by throwing. */
export class ObjectCache<Kept> {
  readonly #options: ObjectCacheOptions<Kept>;
  readonly #kept = new Map<string, Kept>();
  readonly #versions = new Map<string, string | undefined>();

  constructor(options: ObjectCacheOptions<Kept>) {
    this.#options = options;
  }

  get kept(): ReadonlyMap<string, Kept> {
    return this.#kept;
  }

  set(object: KubernetesObject): string {
    const key = keyOf(object);
    const version = object.metadata?.resourceVersion;
    if (this.#kept.has(key) && version !== undefined && this.#versions.get(key) === version) return key;
    let now: Kept;
    try {
      now = this.#options.keep(object);
    } catch (error) {
      this.#options.log.error({ key, err: error }, "an object could not be read; it is left out");
      this.delete(key);
      return key;
    }
    const before = this.#kept.get(key);
    this.#kept.set(key, now);
    this.#versions.set(key, version);
    this.#tell(key, now, before);
    return key;
  }

  delete(key: string): void {
    const before = this.#kept.get(key);
    if (!this.#kept.delete(key)) return;
    this.#versions.delete(key);
    this.#tell(key, undefined, before);
  }

  /** Deletes what is not in a full list. */
  retain(listed: ReadonlySet<string>): void {
    for (const key of this.#kept.keys()) if (!listed.has(key)) this.delete(key);
  }

  #tell(key: string, now: Kept | undefined, before: Kept | undefined): void {
    try {
      this.#options.changed(key, now, before);
    } catch (error) {
      this.#options.log.error({ key, err: error }, "a change of an object could not be handled");
    }
  }
}

/** `namespace/name`, or `name` for what has no namespace. */
export function keyOf({ metadata }: KubernetesObject): string {
  const name = metadata?.name ?? "";
  return metadata?.namespace === undefined ? name : `${metadata.namespace}/${name}`;
}
