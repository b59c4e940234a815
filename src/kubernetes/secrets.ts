import type { V1Secret } from "@kubernetes/client-node";
import type { Logger } from "pino";
import { secretValue } from "../config/secret-value.ts";
import { FssyncError } from "../model/errors.ts";
import { sleep, type Clock } from "../ports/clock.ts";
import { SecretEmpty, type Secrets } from "../ports/secrets.ts";
import type { KubeClient } from "./client.ts";
import { Informer } from "./informer.ts";

/** How long the first look at a Secret may take before the poll that needs it fails. */
const PATIENCE = 2000;

type Values = ReadonlyMap<string, string>;

export interface WatchedSecretsOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Called when a Secret that was read before is not the same any more. */
  readonly changed: (name: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The Secrets of one namespace that somebody has read: each is watched from then on, so that a rotation needs no restart. */
export class WatchedSecrets implements Secrets, AsyncDisposable {
  readonly #options: WatchedSecretsOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #end = new AbortController();

  constructor(options: WatchedSecretsOptions) {
    this.#options = options;
  }

  async read(name: string): Promise<Values> {
    const { namespace, clock } = this.#options;
    const watched = this.#watched.get(name) ?? this.#watch(name);
    const { informer } = watched;
    const late = new AbortController();
    const signal = AbortSignal.any([late.signal, this.#end.signal]);
    const inTime = await Promise.race([
      informer.synced.then(() => true),
      sleep(clock, watched.missed ? 0 : PATIENCE, signal).then(() => false),
    ]);
    late.abort();
    const what = `Secret ${namespace}/${name}`;
    if (!inTime) {
      watched.missed = true;
      const why = informer.trouble?.message ?? "the API server does not give it";
      throw new FssyncError("SecretInvalid", `${what} cannot be read: ${why}`, { cause: informer.trouble });
    }
    const values = informer.cache.get(`${namespace}/${name}`);
    if (!values) throw new FssyncError("SecretInvalid", `there is no ${what}`);
    if (values.size === 0) throw new SecretEmpty(`${what} has no keys`);
    return values;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await Promise.all([...this.#watched.values()].map(({ ended }) => ended));
  }

  #watch(name: string): Watched {
    const { client, namespace, clock, log, changed } = this.#options;
    // What the first look finds is no news; a Secret that is made after it is.
    let known = false;
    const informer = new Informer<Values>({
      client,
      name: `secret ${name}`,
      path: `/api/v1/namespaces/${namespace}/secrets`,
      query: { fieldSelector: `metadata.name=${name}` },
      keep: valuesOf,
      changed: (_, now, before) => {
        if (known && !same(now, before)) changed(name);
      },
      clock,
      log,
    });
    const watched: Watched = { informer, ended: informer.run(this.#end.signal), missed: false };
    const first = async () => {
      await informer.synced;
      known = true;
      if (watched.missed) changed(name);
    };
    void first();
    this.#watched.set(name, watched);
    return watched;
  }
}

interface Watched {
  readonly informer: Informer<Values>;
  readonly ended: Promise<void>;
  /** Somebody waited for the first look in vain: once it succeeds, that is news. */
  missed: boolean;
}

function valuesOf({ data = {} }: V1Secret): Values {
  return new Map(
    Object.entries(data).map(([key, value]) => [key, secretValue(key, Buffer.from(value, "base64").toString("utf8"))]),
  );
}

function same(a: Values | undefined, b: Values | undefined): boolean {
  return a?.size === b?.size && [...(b ?? [])].every(([key, value]) => a?.get(key) === value);
}
