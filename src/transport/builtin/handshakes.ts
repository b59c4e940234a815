import { jittered, type Clock } from "../../ports/clock.ts";
import { Places } from "./places.ts";

/** Milliseconds between two beginnings, more or less: a handshake costs some 3.5 of CPU. */
const SPACING = 3;

/** A host's answer costs up to a millisecond of CPU; so many may come in one turn of the event loop. */
const AT_ONCE = 64;

/** Milliseconds for which a host that answered no further holds up others. */
const HELD = 1000;

/**
 * When connections may be opened. They begin one by one, at most one in a turn of the event loop: nothing is caught up
 * on, so that thousands of hosts to connect to leave time for everything else. Hosts that do not answer take no
 * place from those that do: a place is held from the host's first byte to the login,
 * and no longer than a second: hosts that hang in between take none for long.
 */
export class Handshakes {
  readonly #clock: Clock;
  readonly #beginning = new Places(1);
  readonly #answered = new Places(AT_ONCE);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when a connection may be begun. Rejects with Interrupted. */
  async begin(signal: AbortSignal): Promise<void> {
    const place = await this.#beginning.take(signal);
    this.#clock.after(jittered(this.#clock, SPACING, 0.5), () => place[Symbol.dispose]());
  }

  /** A place for a host that has answered, until it is disposed of or given to others. Rejects with Interrupted. */
  async answered(signal: AbortSignal): Promise<Disposable> {
    const held = new DisposableStack();
    const place = held.use(await this.#answered.take(signal));
    held.use(this.#clock.after(HELD, () => place[Symbol.dispose]()));
    return held;
  }
}
