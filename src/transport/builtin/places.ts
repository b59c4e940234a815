import { interrupted } from "../programs.ts";

/** So many at a time; the others wait in the order in which they came. */
export class Places {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves with a place, which is given back when it is disposed of. Rejects with Interrupted. */
  async take(signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) throw interrupted();
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    let given = false;
    return {
      [Symbol.dispose]: () => {
        if (!given) this.#give();
        given = true;
      },
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        signal.removeEventListener("abort", abort);
        resolve();
      };
      const abort = () => {
        this.#waiting.delete(go);
        reject(interrupted());
      };
      this.#waiting.add(go);
      signal.addEventListener("abort", abort, { once: true });
    });
  }

  #give(): void {
    const [next] = this.#waiting;
    if (!next) return void this.#free++;
    this.#waiting.delete(next);
    next();
  }
}
