import type { ServerResponse } from "node:http";
import { HEARTBEAT } from "./frames.ts";

/** Milliseconds in which a piece must be taken: whoever reads more slowly is behind for good. */
const STALLED = 15_000;

/** What a watcher is told, piece by piece. */
export interface Told {
  /** The first change that was not told yet. */
  readonly place: number;
  readonly done: boolean;
  next(): readonly Buffer[];
}

export interface WatcherOptions {
  readonly told: Told;
  readonly response: ServerResponse;
  readonly monotonic: () => number;
  /** Whether it may be told more. */
  readonly admission: { check(): "refused" | null };
  /** When it shall come again, and show anew who it is. Of the same clock. */
  readonly until: number;
  /** Called when it can be told more. */
  readonly ready: (watcher: Watcher) => void;
  /** Called once when it has gone or was ended. */
  readonly gone: (watcher: Watcher) => void;
}

/**
 * One client of a stream. At most one piece is on its way, so that a client that does not read costs the
 * memory of that piece and no more:
 *
 *     idle ── tell: a piece is written ──► waiting ── taken ──► idle
 *                                             └── not taken in time ──► ended
 */
export class Watcher {
  readonly #options: WatcherOptions;
  /** Since when a piece is on its way. */
  #waitingSince: number | null = null;
  #beat = false;
  #over = false;

  constructor(options: WatcherOptions) {
    this.#options = options;
    const { response, gone } = options;
    // A client that is cut off is no trouble of ours.
    response.on("error", () => {});
    response.once("close", () => {
      this.#over = true;
      gone(this);
    });
  }

  get place(): number {
    return this.#options.told.place;
  }

  /** Writes the next piece, unless one is on its way. */
  tell(): void {
    if (this.#over || this.#waitingSince !== null) return;
    const { told, ready } = this.#options;
    const parts = told.next();
    if (parts.length > 0) this.write(parts);
    else if (!told.done) ready(this);
    else if (this.#beat) this.write([HEARTBEAT]);
  }

  write(parts: readonly Buffer[]): void {
    const { response, monotonic, told, ready } = this.#options;
    this.#waitingSince = monotonic();
    this.#beat = false;
    response.write(Buffer.concat(parts), () => {
      if (this.#over) return;
      this.#waitingSince = null;
      if (!told.done || this.#beat) ready(this);
    });
  }

  /** Something shall be sent, if there is nothing to tell. */
  beat(): void {
    this.#beat = true;
    this.#options.ready(this);
  }

  /** Ends it when it does not read, may not be told any more, or has been here for long. */
  check(): "stalled" | "refused" | "due" | null {
    const now = this.#options.monotonic();
    if (this.#waitingSince !== null && now - this.#waitingSince >= STALLED) {
      this.cut();
      return "stalled";
    }
    if (this.#over) return null;
    const why = this.#options.admission.check() ?? (now >= this.#options.until ? "due" : null);
    if (why) this.end();
    return why;
  }

  /** The stream ends in good order; what is on its way arrives. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    // One that does not read is cut off soon.
    this.#waitingSince ??= this.#options.monotonic();
    this.#options.response.end();
  }

  cut(): void {
    this.#over = true;
    this.#options.response.destroy();
  }
}
