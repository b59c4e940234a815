import { Lru } from "../../model/lru.ts";
import type { Clock } from "../../ports/clock.ts";

/** Milliseconds for which a host is not tried again. */
const LASTS = 60 * 60_000;

/** Hosts that are remembered at most. */
const MOST = 16_384;

/** In a row: whatever it is, it will be so again. */
const SURPRISES = 2;

/** Why a batch was not laid on a host. */
export interface Hindrance {
  /** For people, short. */
  readonly text: string;
  /** `host`: it will be so next time. `once`: of this one sync. `surprise`: nobody knows. */
  readonly lasts: "host" | "once" | "surprise";
  /** Only changes with several ownerships, or very long ones, meet it. */
  readonly ofLongOnes?: boolean;
}

interface Known extends Hindrance {
  readonly since: number;
  readonly surprises: number;
}

/** What was learnt about hosts that take no batches. Bounded; nothing is known for ever. */
export class PlainHosts {
  readonly #clock: Clock;
  readonly #known = new Lru<string, Known>(MOST);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Why this host is to be served without a batch; undefined: try. */
  hindrance(host: string, isLong: boolean): string | undefined {
    const known = this.#known.get(host);
    if (!known || (known.ofLongOnes && !isLong)) return undefined;
    if (this.#clock.monotonic() - known.since > LASTS) {
      this.#known.delete(host);
      return undefined;
    }
    return known.lasts === "host" || known.surprises >= SURPRISES ? known.text : undefined;
  }

  learn(host: string, hindrance: Hindrance): void {
    if (hindrance.lasts === "once") return;
    const surprises = (this.#known.get(host)?.surprises ?? 0) + (hindrance.lasts === "surprise" ? 1 : 0);
    this.#known.set(host, { ...hindrance, since: this.#clock.monotonic(), surprises });
  }

  /** A batch was laid there. */
  forget(host: string, isLong: boolean): void {
    if (isLong || !this.#known.get(host)?.ofLongOnes) this.#known.delete(host);
  }
}
