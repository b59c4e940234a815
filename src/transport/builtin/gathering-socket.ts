import { Socket } from "node:net";

/**
 * What is written in one turn leaves in one go. ssh2 writes a packet in up to three pieces: each would be a system call,
 * and a segment on the wire as nothing waits for more (noDelay).
 */
export class GatheringSocket extends Socket {
  constructor() {
    super();
    // `connect` puts `write` back to what it is by default.
    this.once("connect", () => this.#gather());
  }

  #gather(): void {
    const write = this.write.bind(this);
    const gathered = (...args: Parameters<typeof write>) => {
      if (this.writableCorked === 0) {
        this.cork();
        process.nextTick(() => this.uncork());
      }
      return write(...args);
    };
    Object.assign(this, { write: gathered });
  }
}
