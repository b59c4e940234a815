import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { QueueMetrics } from "../ports/telemetry.ts";

/** client-go's buckets: 10 ns to 10 s by powers of ten there; ours begin where a host's sync can. */
const BUCKETS = [0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300];

/** client-go's `workqueue_*` metrics, one queue a repo. */
export class QueueInstruments {
  readonly #registry: Registry;
  readonly #unfinished = new Map<string, () => number>();
  readonly #depth;
  readonly #adds;
  readonly #retries;
  readonly #queueDuration;
  readonly #workDuration;
  readonly #unfinishedWork;

  constructor(registry: Registry) {
    this.#registry = registry;
    const common = { labelNames: ["name"] as const, registers: [this.#registry] };
    this.#depth = new Gauge({ name: "workqueue_depth", help: "Hosts that wait for a worker.", ...common });
    this.#adds = new Counter({ name: "workqueue_adds_total", help: "Hosts added to the queue.", ...common });
    this.#retries = new Counter({
      name: "workqueue_retries_total",
      help: "Hosts added again after a failure.",
      ...common,
    });
    this.#queueDuration = new Histogram({
      name: "workqueue_queue_duration_seconds",
      help: "Seconds that a host waited in the queue.",
      buckets: BUCKETS,
      ...common,
    });
    this.#workDuration = new Histogram({
      name: "workqueue_work_duration_seconds",
      help: "Seconds that the work on a host took.",
      buckets: BUCKETS,
      ...common,
    });
    this.#unfinishedWork = new Gauge({
      name: "workqueue_unfinished_work_seconds",
      help: "Seconds of work under way, added up: grows while a worker hangs.",
      ...common,
    });
  }

  /** Disposing it removes the queue's series. */
  forQueue(name: string): QueueMetrics & Disposable {
    this.#depth.set({ name }, 0);
    this.#adds.inc({ name }, 0);
    this.#retries.inc({ name }, 0);
    this.#queueDuration.zero({ name });
    this.#workDuration.zero({ name });
    return {
      depth: (waiting) => this.#depth.set({ name }, waiting),
      added: () => this.#adds.inc({ name }),
      retried: () => this.#retries.inc({ name }),
      queued: (seconds) => this.#queueDuration.observe({ name }, seconds),
      worked: (seconds) => this.#workDuration.observe({ name }, seconds),
      unfinished: (seconds) => void this.#unfinished.set(name, seconds),
      [Symbol.dispose]: () => {
        this.#unfinished.delete(name);
        for (const counted of [this.#depth, this.#adds, this.#retries, this.#unfinishedWork]) counted.remove({ name });
        for (const timed of [this.#queueDuration, this.#workDuration]) timed.remove({ name });
      },
    };
  }

  /** Before a scrape. */
  refresh(): void {
    for (const [name, seconds] of this.#unfinished) this.#unfinishedWork.set({ name }, seconds());
  }
}
