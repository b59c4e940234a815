import { GatheringSocket } from "./gathering-socket.ts";

/**
 * Looks at the time that is allowed before each byte it sends, for a process that was stopped hears of its network before its
 * timers. `check` destroys the socket when the time is over, and what was to be sent with it.
 */
export class FencedSocket extends GatheringSocket {
  readonly #check: () => void;

  constructor(check: () => void) {
    super();
    this.#check = check;
    // Every packet waits for nobody: what is written is whole.
    this.setNoDelay(true);
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#check();
    super._write(chunk, encoding, callback);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#check();
    super._writev?.(chunks, callback);
  }
}
