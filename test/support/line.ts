import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** The line between a controller and a host, which can break as lines do. */
export class Line implements AsyncDisposable {
  readonly #server = createServer((socket) => this.#join(socket));
  readonly #host: { readonly port: number };
  readonly #sockets = new Set<Socket>();
  /** Connections that were ever begun. */
  connections = 0;
  /** Bytes that the controller has sent. */
  sent = 0;
  /** What the host says before its first word. */
  greeting = "";
  /** From so many bytes of the host on nothing of it arrives. */
  stopsAfter = Infinity;

  constructor(host: { readonly port: number }) {
    this.#host = host;
  }

  async open(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** What goes over the connections that stand is lost, both ways, without a word; new ones are fine. */
  forget(): void {
    for (const socket of this.#sockets) socket.unpipe().removeAllListeners("data").resume();
  }

  /** The connections that stand end. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(near: Socket): void {
    this.connections++;
    const far = connect(this.#host.port, "127.0.0.1");
    let heard = 0;
    near.write(this.greeting);
    near.on("data", (chunk: Buffer) => (this.sent += chunk.length));
    near.pipe(far);
    far.on("data", (chunk: Buffer) => {
      heard += chunk.length;
      if (heard <= this.stopsAfter) near.write(chunk);
    });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
