import { pino, type Logger } from "pino";

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export const WARN = 40;

/** A logger whose lines a test can look at. */
export function recordingLogger(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const log = pino({ level: "debug", base: null }, { write: (line) => void lines.push(JSON.parse(line) as LogLine) });
  return { log, lines };
}
