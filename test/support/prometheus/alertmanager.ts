import { join } from "node:path";
import { stringify } from "yaml";
import { Daemon } from "./daemon.ts";
import type { WebhookReceiver } from "./receiver.ts";

/** A real Alertmanager that tells the receiver of each alert by itself, within about a second. */
export class Alertmanager implements AsyncDisposable {
  readonly #daemon: Daemon;

  private constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  static async start({ receiver }: { receiver: WebhookReceiver }): Promise<Alertmanager> {
    const webhook = { url: receiver.url, send_resolved: true };
    const times = { group_wait: "0s", group_interval: "1s", repeat_interval: "1h" };
    const config = {
      route: { receiver: "test", group_by: ["..."], ...times },
      receivers: [{ name: "test", webhook_configs: [webhook] }],
    };
    const daemon = await Daemon.start({
      command: "prometheus-alertmanager",
      files: { "alertmanager.yml": stringify(config) },
      args: (dir, address) => [
        `--config.file=${join(dir, "alertmanager.yml")}`,
        `--storage.path=${join(dir, "data")}`,
        `--web.listen-address=${address}`,
        // One alone: no gossip with others.
        "--cluster.listen-address=",
      ],
    });
    return new Alertmanager(daemon);
  }

  get address(): string {
    return new URL(this.#daemon.url).host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
  }
}
