import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A TCP relay between one client and the API server, for a network that fails for that client alone. */
export class Gate implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #shut = false;

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((socket) => this.#relay(socket));
  }

  static async open(url: string): Promise<Gate> {
    const gate = new Gate(new URL(url));
    gate.#server.listen(0, "127.0.0.1");
    await once(gate.#server, "listening");
    return gate;
  }

  /** Connections of the client that are open now. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** A kubeconfig like that one, through this gate; returns its path. */
  kubeconfig(file: string): string {
    const { port } = this.#server.address() as { port: number };
    const through = `${file}-${port}`;
    const text = readFileSync(file, "utf8").replace(this.#target.origin, `https://127.0.0.1:${port}`);
    writeFileSync(through, text, { mode: 0o600 });
    return through;
  }

  /** Cuts what is open; what comes is cut at once. */
  shut(): void {
    this.#shut = true;
    this.#cut();
  }

  reopen(): void {
    this.#shut = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#cut();
    await once(this.#server, "close");
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #relay(socket: Socket): void {
    if (this.#shut) return void socket.destroy();
    const other = connect(Number(this.#target.port), this.#target.hostname);
    for (const [from, to] of [
      [socket, other],
      [other, socket],
    ] as const) {
      this.#sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
