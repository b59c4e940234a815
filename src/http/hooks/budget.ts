/** So much memory at most, shared by those who take of it. */
export class Budget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** Undefined when there is not so much left. Disposing it, once or more often, gives it back. */
  take(bytes: number): Disposable | undefined {
    if (bytes > this.#left) return undefined;
    this.#left -= bytes;
    let taken = bytes;
    return {
      [Symbol.dispose]: () => {
        this.#left += taken;
        taken = 0;
      },
    };
  }
}
