import type { Clock } from "../ports/clock.ts";
import { apiOf, type Lease, type LeaseSpec } from "./lease.ts";

export interface LeaseObserverOptions {
  readonly clock: Clock;
  /** Milliseconds, for a Lease that does not say. */
  readonly leaseDuration: number;
  /** Called when another holder is seen. */
  readonly led: (leader: string) => void;
}

/**
 * What a Lease said last and when this process first saw it say so. Another's time is judged by that
 * moment and our monotonic clock alone: never by times in the Lease, which are from another machine's clock.
 */
export class LeaseObserver {
  readonly #options: LeaseObserverOptions;
  #seen: { readonly spec: LeaseSpec; readonly text: string; readonly at: number } | undefined;
  #api: string | undefined;

  constructor(options: LeaseObserverOptions) {
    this.#options = options;
  }

  /** Who holds it, or held it last without a release. */
  get leader(): string | undefined {
    return this.#seen?.spec.holderIdentity || undefined;
  }

  /** Where the API of the one who holds it is; undefined when it was released, or does not say. */
  get api(): string | undefined {
    return this.leader === undefined ? undefined : this.#api;
  }

  /** A change of the Lease begins its time anew; one that is told late only makes us wait longer. */
  observe(lease: Lease): void {
    const { spec = {} } = lease;
    this.#api = apiOf(lease);
    const text = JSON.stringify([spec.holderIdentity, spec.renewTime, spec.acquireTime, spec.leaseTransitions]);
    if (text === this.#seen?.text) return;
    const before = this.leader;
    this.#seen = { spec, text, at: this.#options.clock.monotonic() };
    if (this.leader !== undefined && this.leader !== before) this.#options.led(this.leader);
  }

  /** Milliseconds until the holder that we saw last must have given up. */
  untilExpiry(): number {
    if (!this.#seen) return 0;
    const { clock, leaseDuration } = this.#options;
    const { spec, at } = this.#seen;
    const seconds = spec.leaseDurationSeconds ?? 0;
    return Math.max(0, at + (seconds > 0 ? seconds * 1000 : leaseDuration) - clock.monotonic());
  }
}
