/** What the HTTP server tells the outside in numbers. */
export interface HttpTelemetry {
  answered(answer: HttpAnswer): void;
  connected(): void;
  disconnected(): void;
  /** The certificate that is shown ends then; milliseconds since the epoch. */
  certificateExpires(at: number): void;
}

export interface HttpAnswer {
  /** `none` where what came was no HTTP. */
  readonly method: string;
  /** The pattern that matched, never a URL; `none` when nothing did. */
  readonly route: string;
  /** 499 when the client left before there was an answer. */
  readonly code: number;
  /** Null for a stream: it lasts as long as somebody listens. */
  readonly seconds: number | null;
}
