/** Tells each of several watchers, whenever it asks, what has moved since it asked the last time. */
export class Changes<Key> {
  readonly #watches: Set<Key>[] = [];

  /** Gives, at each call, what moved since the call before; at the first also what `moved` names. */
  watch(moved: Iterable<Key>): () => ReadonlySet<Key> {
    const changed = new Set(moved);
    this.#watches.push(changed);
    return () => {
      const taken = new Set(changed);
      changed.clear();
      return taken;
    };
  }

  note(key: Key): void {
    for (const watch of this.#watches) watch.add(key);
  }
}
