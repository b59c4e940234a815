import type { QueueMetrics } from "../ports/telemetry.ts";

export const noMetrics: QueueMetrics = {
  depth() {},
  added() {},
  retried() {},
  queued() {},
  worked() {},
  unfinished() {},
};
