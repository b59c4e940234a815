const EMPTY = Buffer.alloc(0);

/** Reads lines and counted bytes off a stream, at the reader's pace. */
export class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #chunk: Buffer = EMPTY;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Up to the next newline, without it; undefined at the end of the stream. */
  async line(): Promise<string | undefined> {
    let head = "";
    for (;;) {
      const end = this.#chunk.indexOf(10);
      if (end >= 0) return head + this.#take(end + 1).toString("latin1", 0, end);
      head += this.#chunk.toString("latin1");
      if (!(await this.#more())) return undefined;
    }
  }

  /** The next bytes, at least one and at most `count`. Throws at the end of the stream. */
  async upTo(count: number): Promise<Buffer> {
    if (this.#chunk.length === 0 && !(await this.#more())) throw new Error("the stream ended early");
    return this.#take(Math.min(count, this.#chunk.length));
  }

  /** Exactly `count` bytes. Throws when the stream ends before. */
  async bytes(count: number): Promise<Buffer> {
    if (count <= this.#chunk.length) return this.#take(count);
    const pieces: Buffer[] = [];
    for (let left = count; left > 0; left -= pieces.at(-1)!.length) pieces.push(await this.upTo(left));
    return Buffer.concat(pieces);
  }

  #take(count: number): Buffer {
    const taken = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    return taken;
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    this.#chunk = next.done ? EMPTY : next.value;
    return !next.done;
  }
}
