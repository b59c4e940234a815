/**
 * Debian's Prometheus and Alertmanager on free ports of the loopback interface, each with a folder of
 * its own that goes with it:
 *
 *     await using receiver = await WebhookReceiver.start();
 *     await using alertmanager = await Alertmanager.start({ receiver });
 *     await using prometheus = await Prometheus.start({ scrape: controller.url, rules, alertmanager });
 *     await receiver.when("FssyncDrift", "firing");
 */
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Alertmanager } from "./prometheus/alertmanager.ts";
import { Daemon } from "./prometheus/daemon.ts";

export { Alertmanager } from "./prometheus/alertmanager.ts";
export { prometheusUnavailable } from "./prometheus/daemon.ts";
export { WebhookReceiver } from "./prometheus/receiver.ts";

/** Of scrapes and of rules. */
const INTERVAL = "1s";

export interface PrometheusOptions {
  /** Base URLs below which `/metrics` is; none need answer yet. */
  readonly scrape: string | readonly string[];
  /** Name of the scrape job, the label `job`. */
  readonly job?: string;
  /** A file of rules: its path, or its text (which has lines). */
  readonly rules?: string;
  readonly alertmanager?: Alertmanager;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ActiveAlert {
  readonly state: "pending" | "firing";
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A real Prometheus that scrapes once a second. */
export class Prometheus implements AsyncDisposable {
  readonly #daemon: Daemon;

  private constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  static async start(options: PrometheusOptions): Promise<Prometheus> {
    const { rules = "groups: []\n" } = options;
    const daemon = await Daemon.start({
      command: "prometheus",
      files: {
        "prometheus.yml": stringify(configOf(options)),
        "rules.yml": rules.includes("\n") ? rules : await readFile(rules, "utf8"),
      },
      args: (dir, address) => [
        `--config.file=${join(dir, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(dir, "data")}`,
        `--web.listen-address=${address}`,
        // A notification that got lost comes again before a test gives up.
        "--rules.alert.resend-delay=5s",
      ],
    });
    return new Prometheus(daemon);
  }

  get url(): string {
    return this.#daemon.url;
  }

  /** The instant vector, or the scalar, that the expression has now. Throws what Prometheus says is wrong with it. */
  async query(expression: string): Promise<Sample[]> {
    const { resultType, result } = await this.#get<Vector | Scalar>("query", { query: expression });
    const samples = resultType === "scalar" ? [{ metric: {}, value: result }] : result;
    return samples.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** The alerts that are pending or firing now. */
  async alerts(): Promise<ActiveAlert[]> {
    return (await this.#get<{ alerts: ActiveAlert[] }>("alerts")).alerts;
  }

  /** Values of a label over all series that match. */
  async labelValues(label: string, match: string): Promise<string[]> {
    return await this.#get<string[]>(`label/${label}/values`, { "match[]": match });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
  }

  async #get<Data>(path: string, parameters: Record<string, string> = {}): Promise<Data> {
    const answer = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`);
    const body = (await answer.json()) as { status: string; data: Data; error?: string };
    if (body.status !== "success") throw new Error(`${parameters.query ?? path}: ${body.error}`);
    return body.data;
  }
}

/** What `promtool check metrics` says of an exposition: empty when it has nothing to say. */
export function complaintsAbout(exposition: string): string {
  const { stdout, stderr, status } = spawnSync("promtool", ["check", "metrics"], {
    input: exposition,
    encoding: "utf8",
  });
  const said = `${stdout}${stderr}`;
  return status === 0 ? said : `promtool ended with ${status}: ${said}`;
}

function configOf({ scrape, job = "fssync", alertmanager }: PrometheusOptions): object {
  const targets = [scrape].flat().map((url) => new URL(url).host);
  const alerting = { alertmanagers: [{ static_configs: [{ targets: alertmanager ? [alertmanager.address] : [] }] }] };
  return {
    global: { scrape_interval: INTERVAL, scrape_timeout: INTERVAL, evaluation_interval: INTERVAL },
    rule_files: ["rules.yml"],
    alerting,
    scrape_configs: [{ job_name: job, static_configs: [{ targets }] }],
  };
}

interface Vector {
  readonly resultType: "vector";
  readonly result: readonly { readonly metric: Record<string, string>; readonly value: readonly [number, string] }[];
}

interface Scalar {
  readonly resultType: "scalar";
  readonly result: readonly [number, string];
}
