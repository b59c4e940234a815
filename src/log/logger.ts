import { pino, type Logger } from "pino";
import pretty from "pino-pretty";
import type { LogLevel } from "./levels.ts";

/** Keys whose values never reach a log, however deep a careless caller nests them. */
const SECRET_KEYS = ["password", "token", "identity", "passphrase", "authorization", "known_hosts"];

/**
 * JSON lines on stderr, or readable ones on a terminal. Messages are constant, facts are fields.
 * stdout belongs to the command's own output.
 */
export function createLogger({ level, terminal }: { level: LogLevel; terminal: boolean }): Logger {
  const destination = terminal
    ? pretty({ destination: 2, sync: true, ignore: "pid,hostname", translateTime: "SYS:HH:MM:ss.l", colorize: true })
    : pino.destination({ dest: 2, sync: true });
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: "[secret]" },
    },
    destination,
  );
}
