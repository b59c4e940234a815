/** Node goes along all listeners to add one or take one away. */
const USERS = 256;

/**
 * `AbortSignal.any` of two, remembered: thousands of hosts are worked on under the same two, and what each signal of its own
 * leaves to the garbage collector (weak references, a finalizer) holds the event loop when it comes to it.
 */
export class JoinedSignals {
  readonly #known = new WeakMap<AbortSignal, WeakMap<AbortSignal, { readonly signal: AbortSignal; users: number }>>();

  of(one: AbortSignal, other: AbortSignal): AbortSignal {
    let joined = this.#known.get(one);
    if (!joined) this.#known.set(one, (joined = new WeakMap()));
    let known = joined.get(other);
    if (!known || known.users === USERS)
      joined.set(other, (known = { signal: AbortSignal.any([one, other]), users: 0 }));
    known.users++;
    return known.signal;
  }
}
