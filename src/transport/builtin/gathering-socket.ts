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

  /**
   * Its end is its close, whatever the host does: nobody here needs a half of a connection. `resetAndDestroy` beside libuv's
   * shutdown leaves the socket open for ever and never tells of its close (Node 24).
   */
  override _final(callback: (error?: Error | null) => void): void {
    this.once("finish", () => this.destroy());
    callback();
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
