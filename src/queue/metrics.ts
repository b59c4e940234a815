/** What a queue tells about itself; client-go's `workqueue_*` metrics. Durations are in seconds. */
export interface QueueMetrics {
  depth(waiting: number): void;
  added(): void;
  retried(): void;
  queued(seconds: number): void;
  worked(seconds: number): void;
  unfinished(seconds: () => number): void;
}

export const noMetrics: QueueMetrics = {
  depth() {},
  added() {},
  retried() {},
  queued() {},
  worked() {},
  unfinished() {},
};
