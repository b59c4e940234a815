import { request, type ClientRequest, type IncomingMessage } from "node:http";
import { until } from "./fleet.ts";

export interface StreamEvent<Item = Record<string, unknown>> {
  readonly event: string;
  readonly id: string;
  readonly data: Item;
}

/** A client of server-sent events over a socket of its own. */
export class EventStream<Item = Record<string, unknown>> implements Disposable {
  readonly events: StreamEvent<Item>[] = [];
  readonly response: IncomingMessage;
  /** Milliseconds after which to come again, as the server says. */
  retry: number | undefined;
  comments = 0;
  ended = false;
  readonly #request: ClientRequest;
  #rest = "";

  private constructor(outgoing: ClientRequest, response: IncomingMessage) {
    this.#request = outgoing;
    this.response = response;
    response.setEncoding("utf8");
    response.on("data", (text: string) => this.#take(text));
    response.on("error", () => {});
    response.once("close", () => (this.ended = true));
  }

  /** Resolves with the answer's headers, whatever its status is. */
  static open<Item = Record<string, unknown>>(url: string, headers: Record<string, string> = {}) {
    return new Promise<EventStream<Item>>((resolve, reject) => {
      const outgoing = request(url, { headers, agent: false });
      outgoing.once("response", (response) => resolve(new EventStream<Item>(outgoing, response)));
      outgoing.on("error", reject);
      outgoing.end();
    });
  }

  get status(): number {
    return this.response.statusCode!;
  }

  /** `added`, `modified` and `deleted` after all there was. */
  get changes(): readonly StreamEvent<Item>[] {
    return this.events.slice(this.events.findIndex(({ event }) => event === "synced") + 1);
  }

  get isSynced(): boolean {
    return this.events.some(({ event }) => event === "synced");
  }

  async synced(): Promise<void> {
    await this.until(() => this.isSynced, "a stream to have told all there is");
  }

  async until(condition: (stream: this) => boolean, what: string, deadline = 20_000): Promise<void> {
    await until(async () => condition(this), deadline, what).catch((error: unknown) => {
      throw new Error(`${String(error)}; told: ${JSON.stringify(this.events.slice(-20))}`, { cause: error });
    });
  }

  /** Reads no more, and keeps the connection. */
  stall(): void {
    this.response.pause();
  }

  goOn(): void {
    this.response.resume();
  }

  /** Goes without a word. */
  [Symbol.dispose](): void {
    this.#request.destroy();
  }

  #take(text: string): void {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop()!;
    for (const block of blocks) this.#takeBlock(block);
  }

  #takeBlock(block: string): void {
    const fields = new Map(
      block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    );
    if (fields.has("")) this.comments += 1;
    if (fields.has("retry")) this.retry = Number(fields.get("retry"));
    if (!fields.has("event")) return;
    const data = JSON.parse(fields.get("data")!) as Item;
    this.events.push({ event: fields.get("event")!, id: fields.get("id")!, data });
  }
}
