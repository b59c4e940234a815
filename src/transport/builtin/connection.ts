import { Socket } from "node:net";
import { Client, type AuthHandlerMiddleware, type ClientChannel } from "ssh2";
import { asFssyncError, FssyncError } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import { encodePath } from "../../model/path.ts";
import type { HostKeys } from "./host-keys.ts";
import { connectError } from "./connect-error.ts";

/** Milliseconds between two signs of life that are asked of an idle host, and how many may stay without an answer. */
const KEEPALIVE = { keepaliveInterval: 15_000, keepaliveCountMax: 3 } as const;

const ALGORITHMS = {
  kex: ["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256"],
  cipher: ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"],
} as const;

export interface ConnectOptions {
  readonly host: Host;
  readonly hostKeys: HostKeys;
  /** How to log in, for each connection anew. */
  readonly login: () => AuthHandlerMiddleware;
  /** Milliseconds until the host is logged in on. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/** One connection to one host, logged in. */
export class Connection {
  readonly #client: Client;
  readonly #socket: Socket;
  /** Resolves when it has ended, with why. */
  readonly ended: Promise<FssyncError>;
  #alive = true;

  private constructor(client: Client, socket: Socket) {
    this.#client = client;
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<FssyncError>();
    this.ended = promise;
    let cause: Error | undefined;
    client.on("error", (error) => (cause ??= error));
    client.once("close", () => {
      this.#alive = false;
      resolve(new FssyncError("ConnectionLost", cause?.message ?? "the host closed the connection", { cause }));
    });
  }

  /** Rejects with what keeps the host from being reached: ConnectTimeout, AuthFailed, HostKeyUnknown, … */
  static async open({ host, hostKeys, login, timeout, signal }: ConnectOptions): Promise<Connection> {
    signal.throwIfAborted();
    const socket = new Socket();
    socket.setNoDelay(true);
    const client = new Client();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let refused: FssyncError | undefined;
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    client.on("error", (error) => reject(refused ?? connectError(host, error)));
    client.once("close", () => reject(refused ?? new FssyncError("ConnectionLost", "the host closed the connection")));
    client.once("ready", resolve);
    try {
      client.connect({
        sock: socket,
        username: host.user,
        readyTimeout: timeout,
        ...KEEPALIVE,
        algorithms: { ...ALGORITHMS, serverHostKey: [...hostKeys.algorithms(host)] } as never,
        authHandler: login(),
        hostVerifier: (key: Buffer, verify: (valid: boolean) => void) => {
          hostKeys.check(host, key).then(
            () => verify(true),
            (error: unknown) => {
              refused = asFssyncError(error);
              verify(false);
            },
          );
        },
      });
      socket.connect({ host: host.address, port: host.port });
      await promise;
      return new Connection(client, socket);
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Starts a command in the login's shell. Rejects with ConnectionLost, ProtocolError. */
  async exec(command: string): Promise<ClientChannel> {
    const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>();
    // Bytes as they are; only the types ask for a string.
    const bytes = encodePath(command) as unknown as string;
    try {
      this.#client.exec(bytes, (error, channel) => (error ? reject(error) : resolve(channel)));
    } catch (error) {
      reject(error);
    }
    try {
      return await Promise.race([promise, this.ended.then((error) => Promise.reject(error))]);
    } catch (error) {
      if (error instanceof FssyncError) throw error;
      throw new FssyncError(this.#alive ? "ProtocolError" : "ConnectionLost", asFssyncError(error).message);
    }
  }

  /** Writes to a command's standard input no faster than the host takes it, and ends it unless there is more. */
  async write(channel: ClientChannel, input: Uint8Array, { more = false } = {}): Promise<void> {
    for (let at = 0; at < input.length && this.#alive && channel.writable; at += SLICE) {
      const room = channel.write(input.subarray(at, at + SLICE));
      if (!room) await this.#drained(channel);
      if (this.#socket.writableNeedDrain) await this.#drained(this.#socket);
    }
    if (!more) channel.end();
  }

  #drained(stream: ClientChannel | Socket): Promise<unknown> {
    const { promise, resolve } = Promise.withResolvers<void>();
    stream.once("drain", resolve);
    stream.once("close", resolve);
    return Promise.race([promise, this.ended]).finally(() => {
      stream.off("drain", resolve);
      stream.off("close", resolve);
    });
  }

  /** Ends it at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await this.ended;
  }
}

/** Bytes that are encrypted in one go. */
const SLICE = 64 * 1024;
