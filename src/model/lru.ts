/** Keeps the entries used last, `capacity` of them or of their weight. A Map iterates in insertion order, which is all it takes. */
export class Lru<K, V> {
  readonly #capacity: number;
  readonly #weigh: (value: V) => number;
  readonly #entries = new Map<K, V>();
  #weight = 0;

  /** An entry weighs 1 unless `weigh` says otherwise. The last one set is kept whatever it weighs. */
  constructor(capacity: number, weigh: (value: V) => number = () => 1) {
    this.#capacity = capacity;
    this.#weigh = weigh;
  }

  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  /** Returns the entries that had to go. */
  set(key: K, value: V): V[] {
    this.delete(key);
    this.#entries.set(key, value);
    this.#weight += this.#weigh(value);
    const evicted: V[] = [];
    while (this.#weight > this.#capacity && this.#entries.size > 1) {
      const [oldest, gone] = this.#entries.entries().next().value!;
      this.delete(oldest);
      evicted.push(gone);
    }
    return evicted;
  }

  delete(key: K): void {
    const value = this.#entries.get(key);
    if (value === undefined) return;
    this.#entries.delete(key);
    this.#weight -= this.#weigh(value);
  }
}
