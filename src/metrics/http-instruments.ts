import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { HttpAnswer, HttpTelemetry } from "../ports/http-telemetry.ts";

const BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

/** What the HTTP server answers. Series are made by what is asked: routes and codes are few, and no URL is one. */
export class HttpInstruments implements HttpTelemetry {
  readonly #requests;
  readonly #durations;
  readonly #connections;
  readonly #expiry;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: "fssync_http_requests_total",
      help: "HTTP requests by method, route and status code.",
      labelNames: ["method", "route", "code"],
      registers,
    });
    this.#durations = new Histogram({
      name: "fssync_http_request_duration_seconds",
      help: "Seconds from the request's headers to the end of the answer; streams are not counted.",
      labelNames: ["method", "route"],
      buckets: BUCKETS,
      registers,
    });
    this.#connections = new Gauge({
      name: "fssync_http_connections",
      help: "Open connections to the HTTP server.",
      registers,
    });
    this.#expiry = new Gauge({
      name: "fssync_tls_certificate_expiry_timestamp_seconds",
      help: "When the certificate that the HTTP server shows ends, as a Unix time.",
      registers,
    });
    // There is none before one is loaded.
    this.#expiry.remove();
  }

  answered({ method, route, code, seconds }: HttpAnswer): void {
    this.#requests.inc({ method, route, code });
    if (seconds !== null) this.#durations.observe({ method, route }, seconds);
  }

  connected(): void {
    this.#connections.inc();
  }

  disconnected(): void {
    this.#connections.dec();
  }

  certificateExpires(at: number): void {
    this.#expiry.set(at / 1000);
  }
}
