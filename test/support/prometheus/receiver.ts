import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { AddressInfo } from "node:net";
import { until } from "../fleet.ts";

/** One alert as Alertmanager told it, in the order of arrival. */
export interface Notification {
  readonly alertname: string;
  readonly status: "firing" | "resolved";
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The webhook that Alertmanager notifies: it keeps what it is told. */
export class WebhookReceiver implements AsyncDisposable {
  readonly notifications: Notification[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver();
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /**
   * Waits until the alert is firing for any labels, or resolved for all that it was firing for; that may
   * be so already. A deadline in milliseconds that passes is an error that says what was told.
   */
  async when(alertname: string, status: Notification["status"], deadline = 60_000): Promise<Notification> {
    const found = () => {
      const current = this.current(alertname);
      const firing = current.filter((each) => each.status === "firing");
      if (status === "firing") return firing.at(-1);
      return firing.length === 0 ? current.at(-1) : undefined;
    };
    await until(() => found() !== undefined, deadline, `${alertname} to be ${status}`).catch((error: unknown) => {
      const told = this.notifications.map((each) => `${each.alertname} ${each.status}`).join(", ");
      throw new Error(`${String(error)}; told was: ${told || "nothing"}`, { cause: error });
    });
    return found()!;
  }

  /** The last notification of the alert for each set of labels. */
  current(alertname: string): Notification[] {
    const told = this.notifications.filter((each) => each.alertname === alertname);
    return [...new Map(told.map((each) => [JSON.stringify(each.labels), each])).values()];
  }

  /** What was told so far does not count any more. */
  forget(): void {
    this.notifications.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { alerts } = JSON.parse(await text(request)) as { alerts: Omit<Notification, "alertname">[] };
    for (const { status, labels, annotations } of alerts) {
      this.notifications.push({ alertname: labels.alertname ?? "", status, labels, annotations });
    }
    response.end();
  }
}
