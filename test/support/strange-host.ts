import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection, Server } from "ssh2";
import { makeKey } from "./fleet/sshd.ts";
import { ssh2 } from "../../src/transport/builtin/ssh2.ts";

interface Protocol {
  disconnect(reason: number): void;
  channelOpenConfirm(remote: number, local: number, window: number, packetSize: number): void;
  ping(): void;
}

/** What ssh2 has and does not show. */
interface Inner {
  readonly _protocol: Protocol;
  readonly _sock: Socket;
}

const require = createRequire(import.meta.url);
const protocols = (require("ssh2/lib/protocol/Protocol.js") as { readonly prototype: Protocol }).prototype;

/** Of SSH's disconnect (RFC 4253, 11.1): the only reason that is no error to ssh2. */
const BY_APPLICATION = 11;

interface StrangeHostOptions {
  /** Bytes that it takes in a packet. */
  readonly packetSize?: number;
  /** Asks for answers as fast as it can once somebody is logged in, and reads none. */
  readonly asks?: boolean;
  /** Says goodbye to a command, and leaves it to the other to close. */
  readonly leaves?: boolean;
  /** Says this to each command without an end. */
  readonly floods?: "stdout" | "stderr";
}

/** A host that lets everybody in and keeps to the letter of the protocol. */
export class StrangeHost implements AsyncDisposable {
  readonly #server: Server;
  readonly #clients = new Set<Connection>();
  readonly #undo: () => void;
  /** Bytes of standard input that came. */
  received = 0;

  private constructor(options: StrangeHostOptions) {
    this.#undo = options.packetSize === undefined ? () => undefined : announce(options.packetSize);
    this.#server = new ssh2.Server({ hostKeys: [newKey()] }, (client) => this.#serve(client, options));
  }

  static async start(options: StrangeHostOptions): Promise<StrangeHost> {
    const host = new StrangeHost(options);
    await new Promise<void>((resolve) => host.#server.listen(0, "127.0.0.1", resolve));
    return host;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#undo();
    for (const client of this.#clients) inner(client)._sock.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(client: Connection, { asks, leaves, floods }: StrangeHostOptions): void {
    this.#clients.add(client);
    client.on("error", () => undefined).on("authentication", (attempt) => attempt.accept());
    client.on("ready", () => asks && ask(inner(client)));
    client.on("session", (accept) => {
      const session = accept();
      session.on("exec", (begin) => {
        const channel = begin();
        if (leaves) inner(client)._protocol.disconnect(BY_APPLICATION);
        channel.on("error", () => undefined).on("data", (chunk: Buffer) => (this.received += chunk.length));
        if (floods) flood(floods === "stdout" ? channel : channel.stderr, client);
      });
    });
  }
}

function inner(client: Connection): Inner {
  return client as unknown as Inner;
}

function announce(packetSize: number): () => void {
  const { channelOpenConfirm } = protocols;
  protocols.channelOpenConfirm = function (remote, local, window) {
    return channelOpenConfirm.call(this, remote, local, window, packetSize);
  };
  return () => void (protocols.channelOpenConfirm = channelOpenConfirm);
}

function ask({ _protocol: protocol, _sock: socket }: Inner): void {
  socket.pause().removeAllListeners("data");
  const go = () => {
    if (socket.destroyed) return;
    for (let count = 0; count < 200; count++) protocol.ping();
    if (socket.writableNeedDrain) socket.once("drain", go);
    else setImmediate(go);
  };
  setTimeout(go, 50);
}

/** Says the same until the connection ends. */
function flood(stream: NodeJS.WritableStream, client: Connection): void {
  const words = Buffer.alloc(16 * 1024, "y\n");
  const go = () => {
    if (inner(client)._sock.destroyed) return;
    if (stream.write(words)) setImmediate(go);
    else stream.once("drain", go);
  };
  go();
}

/** ssh2's own keys are malformed now and then. */
function newKey(): Buffer {
  const dir = mkdtempSync(join(tmpdir(), "strange-"));
  try {
    makeKey(join(dir, "key"));
    return readFileSync(join(dir, "key"));
  } finally {
    rmSync(dir, { recursive: true });
  }
}
