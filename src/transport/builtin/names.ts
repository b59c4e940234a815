import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { FssyncError } from "../../model/errors.ts";
import { Lru } from "../../model/lru.ts";
import type { Clock } from "../../ports/clock.ts";
import { Limit } from "../limit.ts";
import { Places } from "./places.ts";

/** Lookups at a time. Each holds one of libuv's threads, of which it gives half to lookups: see `main.ts`. */
const AT_ONCE = 8;

/** Milliseconds for which an answer holds, and names that are remembered. */
const HOLDS = 60_000;
const MOST = 16_384;

/** Milliseconds: what a resolver takes at most that asks two servers of which none answers. */
const TAKES = 20_000;

type Resolve = (name: string) => Promise<readonly LookupAddress[]>;

/** Options for `net`; none where the address is no name. */
export interface Resolved {
  readonly lookup?: LookupFunction;
}

export interface NamesOptions {
  readonly clock: Clock;
  /** The system's, with all that nsswitch.conf says, unless given. */
  readonly resolve?: Resolve;
}

/**
 * Addresses of hosts that the inventory lists by name, as OpenSSH finds them. Names whose servers do not answer take their
 * time: whoever waits for a turn behind them loses none of its own.
 */
export class Names {
  readonly #clock: Clock;
  readonly #resolve: Resolve;
  readonly #places = new Places(AT_ONCE);
  readonly #known = new Lru<string, { readonly addresses: readonly LookupAddress[]; readonly until: number }>(MOST);

  constructor({ clock, resolve = (name) => lookup(name, { all: true, order: "verbatim" }) }: NamesOptions) {
    this.#clock = clock;
    this.#resolve = resolve;
  }

  /** For `net`: the name's addresses without another look. Rejects as `resolve` does, with NameResolutionFailed and Interrupted. */
  async lookup(name: string, signal: AbortSignal): Promise<Resolved> {
    if (isIP(name) !== 0) return {};
    const addresses = await this.#addresses(name, signal);
    const [first] = addresses;
    return {
      lookup: (_, { all }, answer) =>
        all ? answer(null, [...addresses]) : answer(null, first?.address ?? "", first?.family),
    };
  }

  /** The next look at the name is a real one: what was known led nowhere. */
  forget(name: string): void {
    this.#known.delete(name);
  }

  async #addresses(name: string, signal: AbortSignal): Promise<readonly LookupAddress[]> {
    const known = this.#known.get(name);
    if (known && this.#clock.monotonic() < known.until) return known.addresses;
    const place = await this.#places.take(signal);
    // For as long as its thread is: whoever asked may be gone by then.
    const asked = this.#resolve(name).finally(() => place[Symbol.dispose]());
    asked.catch(() => undefined);
    const late = () => new FssyncError("NameResolutionFailed", `Could not resolve hostname ${name}: no answer`);
    using limit = new Limit({ left: TAKES, late, signal, clock: this.#clock });
    const addresses = await limit.race(asked);
    this.#known.set(name, { addresses, until: this.#clock.monotonic() + HOLDS });
    return addresses;
  }
}
