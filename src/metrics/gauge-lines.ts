/**
 * A gauge of many series, kept as the lines of Prometheus' text format: a series is written when it
 * changes, a scrape only joins. prom-client writes all of them at each scrape, which holds the event
 * loop for 50 ms when there are 1,000 apps.
 */
export class GaugeLines implements MetricFamily {
  readonly name: string;
  readonly type = "gauge";
  readonly labelNames: readonly string[];
  readonly #help: string;
  readonly #lines = new Map<string, string>();

  constructor(name: string, help: string, labelNames: readonly string[]) {
    this.name = name;
    this.#help = help;
    this.labelNames = labelNames;
  }

  /** The series that stand under `key` from now on, instead of those before; none removes them. */
  set(key: string, series: Iterable<GaugeSeries>): void {
    let text = "";
    for (const { labels, value } of series) text += `\n${this.name}{${labels}} ${value}`;
    if (text === "") this.#lines.delete(key);
    else this.#lines.set(key, text);
  }

  remove(key: string): void {
    this.#lines.delete(key);
  }

  toString(): string {
    return `# HELP ${this.name} ${this.#help}\n# TYPE ${this.name} gauge${[...this.#lines.values()].join("")}`;
  }
}

/** What is known of a metric before it has a series. */
export interface MetricFamily {
  readonly name: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

export interface GaugeSeries {
  /** As `labelText` writes them. */
  readonly labels: string;
  readonly value: number;
}

/** `a="1",b="2"`: labels as they stand between the braces. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(",");
}

function escaped(value: string): string {
  return value
    .replaceAll("\\", String.raw`\\`)
    .replaceAll('"', String.raw`\"`)
    .replaceAll("\n", String.raw`\n`);
}
