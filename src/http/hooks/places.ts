import type { Clock } from "../../ports/clock.ts";

export interface PlacesOptions {
  /** At a time, for each key. */
  readonly most: number;
  /** Milliseconds that somebody waits for a place. */
  readonly patience: number;
  readonly clock: Clock;
}

/** Those who wait behind one key. */
interface Line {
  taken: number;
  readonly waiting: Set<() => void>;
}

/** So many at a time for each key; whoever comes then waits for a while, the first of them first. */
export class Places {
  readonly #options: PlacesOptions;
  readonly #lines = new Map<string, Line>();

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** Undefined when there was none in time. Disposing it, once or more often, lets the next one in. */
  async take(key: string): Promise<Disposable | undefined> {
    const line = this.#lines.get(key) ?? { taken: 0, waiting: new Set() };
    this.#lines.set(key, line);
    if (line.taken < this.#options.most) line.taken++;
    else if (!(await this.#wait(line))) return undefined;
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (!left) this.#leave(key, line);
        left = true;
      },
    };
  }

  #wait({ waiting }: Line): Promise<boolean> {
    const { clock, patience } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.after(patience, () => {
        waiting.delete(enter);
        resolve(false);
      });
      const enter = () => {
        timer[Symbol.dispose]();
        resolve(true);
      };
      waiting.add(enter);
    });
  }

  /** Its place is the next one's, if there is one. */
  #leave(key: string, line: Line): void {
    const [next] = line.waiting;
    if (next) {
      line.waiting.delete(next);
      next();
    } else if (--line.taken === 0) this.#lines.delete(key);
  }
}
