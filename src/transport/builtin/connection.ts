import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import type { Client, ClientChannel } from "ssh2";
import { asFssyncError, FssyncError } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import { encodePath } from "../../model/path.ts";
import type { Clock } from "../../ports/clock.ts";
import { sparePackets } from "./packets.ts";
import { Unsent, type Pooled } from "./pool.ts";
import { exchangesKeys, keepSessionKeys } from "./session-keys.ts";
import { SignsOfLife } from "./signs-of-life.ts";

/** Bytes that are encrypted in one go. */
const SLICE = 64 * 1024;

/** Bytes that a host must take at once: with a few each, or none, ssh2 would not come to an end with what it writes. */
const SMALLEST_PACKET = 1024;

/** Milliseconds after which a host is asked once more that refused a session: one that has just ended may still count. */
const ASK_AGAIN = [50, 200, 500] as const;

/** Bytes in so many milliseconds that a host says unasked at most, and bytes of answers that wait for it to read. */
const UNASKED = 1024 * 1024;
const UNASKED_IN = 60_000;
const UNREAD = 4 * 1024 * 1024;

/** Milliseconds for what is on its way to a host that is left. */
const GOODBYE = 1000;

export interface ConnectionOptions {
  readonly host: Host;
  readonly client: Client;
  readonly socket: Socket;
  /** Milliseconds in which a host answers that is asked for another session. */
  readonly answerTimeout: number;
  readonly clock: Clock;
}

/** One connection to one host. */
export class Connection implements Pooled {
  readonly #host: Host;
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #answerTimeout: number;
  readonly #signs: SignsOfLife;
  /** Resolves when it has ended, with ssh2's error if there was any. */
  readonly ended: Promise<Error | undefined>;
  #error: Error | undefined;
  #over = false;
  /** What came while nothing was expected, and since when. */
  #unasked = { bytes: 0, since: -Infinity };

  constructor({ host, client, socket, answerTimeout, clock }: ConnectionOptions) {
    this.#host = host;
    this.#client = client;
    this.#socket = socket;
    this.#clock = clock;
    this.#answerTimeout = answerTimeout;
    this.#signs = new SignsOfLife({
      heard: () => socket.bytesRead,
      ask: () => this.#ask(),
      lost: () => this.#lose(new Error("the host did not answer any more")),
      clock,
    });
    keepSessionKeys(client);
    sparePackets(client);
    socket.on("data", (chunk: Buffer) => this.#heard(chunk.length));
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.ended = promise;
    client.on("error", (error: Error & { level?: string }) => {
      // Another key may be tried.
      if (error.level !== "agent") this.#lose(error);
    });
    client.once("close", () => {
      this.#over = true;
      resolve(this.#error);
    });
  }

  get alive(): boolean {
    return !this.#over && this.#socket.writable && !this.#socket.readableEnded;
  }

  /**
   * Starts a command in the login's shell. Rejects with Unsent when the connection was dead before the command was
   * sent, with ConnectionLost when it may have begun, with ProtocolError when the host refuses it. `begun` is told at once:
   * all that a short command says can come in one piece with the host's consent, and be missed by who waits for this.
   */
  async exec(command: string, begun?: (channel: ClientChannel) => void): Promise<ClientChannel> {
    const heard = this.#socket.bytesRead;
    // The command is sent once the host has opened a session for it.
    const isUnsent = () => this.#socket.bytesRead === heard;
    using _ = this.#clock.after(this.#answerTimeout, () => {
      if (isUnsent()) this.#lose(new Error("the host did not answer"));
    });
    using _use = this.#signs.expected();
    try {
      return await this.#started(command, begun);
    } catch (error) {
      const { message, reason } = asFssyncError(error);
      if (reason === "ProtocolError") throw error;
      if (this.alive) throw new FssyncError("ProtocolError", message, { cause: error });
      throw isUnsent() ? new Unsent(this.lost()) : this.lost();
    }
  }

  /** Signs of life are expected of the host until this is disposed of. */
  watched(): Disposable {
    return this.#signs.expected();
  }

  /** Whether the host still answers; false once the connection has ended. */
  async answers(): Promise<boolean> {
    using _ = this.#signs.expected();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ask(resolve);
    await promise;
    return this.alive;
  }

  /** Why what was under way was not done. */
  lost(): FssyncError {
    const { address, port } = this.#host;
    const why = this.#error?.message ?? "the host closed it";
    return new FssyncError("ConnectionLost", `Connection to ${address} port ${port}: ${why}`, { cause: this.#error });
  }

  /**
   * Writes to a command's standard input no faster than the host takes it, and ends it unless there is more. Other
   * connections have their turn after each slice, and never more than a slice waits that the host has not asked for.
   */
  async write(channel: ClientChannel, input: Uint8Array, { more = false } = {}): Promise<void> {
    for (let at = 0; at < input.length && this.alive && channel.writable; at += SLICE) {
      const slice = input.subarray(at, at + SLICE);
      // With its end it leaves in one go.
      if (!more && at + SLICE >= input.length) return void channel.end(slice);
      await taken(channel, slice);
      if (this.alive && exchangesKeys(this.#client)) await happened(this.#client, "handshake");
      if (this.#socket.writableNeedDrain) await happened(this.#socket, "drain");
      else await setImmediate();
    }
    if (!more && channel.writable) channel.end();
  }

  /** Ends it at once; what was not sent yet is never sent. */
  destroy(): void {
    this.#over = true;
    this.#signs[Symbol.dispose]();
    this.#socket.resetAndDestroy();
  }

  /** Ends it in good order, unless that takes too long. */
  async [Symbol.asyncDispose](): Promise<void> {
    using _ = this.#clock.after(GOODBYE, () => this.destroy());
    try {
      this.#client.end();
    } catch {
      // It has ended in the meantime.
    }
    this.#socket.destroySoon();
    await this.ended;
    this.#signs[Symbol.dispose]();
  }

  async #started(command: string, begun?: (channel: ClientChannel) => void): Promise<ClientChannel> {
    for (const pause of ASK_AGAIN) {
      try {
        return await this.#start(command, begun);
      } catch (error) {
        if (!this.alive || !isRefusedSession(error)) throw error;
      }
      await new Promise<void>((resolve) => this.#clock.after(pause, resolve));
    }
    return this.#start(command, begun);
  }

  #start(command: string, begun?: (channel: ClientChannel) => void): Promise<ClientChannel> {
    // Bytes as they are; only the types ask for a string.
    const bytes = encodePath(command) as unknown as string;
    return new Promise((resolve, reject) => {
      this.#client.exec(bytes, (error, channel) => {
        if (error) return reject(error);
        if (packetOf(channel) < SMALLEST_PACKET) return reject(this.#lostToTinyPackets());
        endsOnce(channel);
        begun?.(channel);
        resolve(channel);
      });
    });
  }

  /** A host may ask for answers as fast as it can, also when it is idle. */
  #heard(bytes: number): void {
    if (this.#socket.writableLength > UNREAD) return this.#lose(new Error("the host reads no answers"));
    if (this.#signs.areExpected) return;
    const now = this.#clock.monotonic();
    if (now - this.#unasked.since > UNASKED_IN) this.#unasked = { bytes: 0, since: now };
    this.#unasked.bytes += bytes;
    if (this.#unasked.bytes > UNASKED) this.#lose(new Error("the host says too much unasked"));
  }

  #lostToTinyPackets(): FssyncError {
    const error = new FssyncError("ProtocolError", "the host takes no packets of a usable size");
    this.#lose(error);
    return error;
  }

  /** Asks for what no host has to give: every one answers, and it changes nothing. */
  #ask(answered: () => void = () => undefined): void {
    try {
      this.#client.unforwardIn("localhost", 1, () => answered());
    } catch {
      answered();
    }
  }

  #lose(error: Error): void {
    this.#error ??= error;
    this.destroy();
  }
}

/** ssh2 1.17 ends a channel once more when it has ended: each time an error is made, with its stack, for nobody. */
function endsOnce(channel: ClientChannel): void {
  const end = channel.end.bind(channel);
  Object.assign(channel, {
    end: (...args: Parameters<typeof end>) => (channel.writableEnded ? channel : end(...args)),
  });
}

/** The host gives a number for why; a connection that ends has none. */
function isRefusedSession(error: unknown): boolean {
  return error instanceof Error && "reason" in error && typeof error.reason === "number";
}

/** Bytes of one packet that the host takes; the types do not know. */
function packetOf({ outgoing }: ClientChannel): number {
  const isKnown = typeof outgoing === "object" && outgoing !== null && "packetSize" in outgoing;
  return isKnown && typeof outgoing.packetSize === "number" ? outgoing.packetSize : 0;
}

/** Resolves when all of it is on its way, or the command has ended. */
async function taken(channel: ClientChannel, slice: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => resolve();
  channel.once("close", done);
  channel.write(slice, done);
  await promise;
  channel.off("close", done);
}

/** Resolves with the event, or when what it is awaited of has ended. */
async function happened(of: EventEmitter, event: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => resolve();
  of.once(event, done).once("close", done);
  await promise;
  of.off(event, done).off("close", done);
}
