import type { ClientChannel } from "ssh2";
import type { Clock } from "../../ports/clock.ts";
import { collect, NOTHING, OUTPUT_LIMIT, printable, type ProcessResult } from "../process.ts";
import { interrupted, late, Unfinished } from "../programs.ts";
import type { CommandOptions } from "../ssh-client.ts";
import { feed } from "./command-input.ts";
import type { Connection } from "./connection.ts";

interface Limits {
  /** Milliseconds left. */
  readonly left: number;
  /** Milliseconds of the whole work, for messages. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/**
 * One command to its end. Throws Unfinished (SyncTimeout, Interrupted, ConnectionLost) when that did not come: it is told
 * to end then, and the connection must not be used again.
 */
export async function runCommand(
  connection: Connection,
  command: string,
  options: CommandOptions,
  { left, timeout, signal, clock }: Limits,
): Promise<ProcessResult> {
  const { rawStdout } = options;
  const stop = Promise.withResolvers<never>();
  const abort = () => stop.reject(interrupted());
  if (signal.aborted) throw interrupted();
  signal.addEventListener("abort", abort, { once: true });
  using _ = clock.after(left, () => stop.reject(late(timeout)));
  let channel: ClientChannel | undefined;
  let said = (): ProcessResult => NOTHING;
  try {
    channel = await Promise.race([connection.exec(command), stop.promise]);
    let flooded = false;
    const onFull = () => {
      if (rawStdout !== undefined && !flooded) channel!.close();
      flooded = rawStdout !== undefined;
    };
    const stdout = collect(channel, rawStdout ?? OUTPUT_LIMIT, onFull);
    const stderr = collect(channel.stderr, OUTPUT_LIMIT);
    let exitCode: number | null = null;
    channel.once("exit", (code: number | null) => (exitCode = code));
    said = () => {
      const text = rawStdout === undefined ? printable(stdout()) : stdout().toString("latin1");
      return { ...NOTHING, exitCode, stdout: text, stderr: printable(stderr()), flooded };
    };
    const closed = new Promise<void>((resolve) => channel!.once("close", () => resolve()));
    channel.on("error", () => undefined);
    const writing = feed(connection, channel, options);
    await Promise.race([closed, stop.promise, connection.ended.then((error) => Promise.reject(error))]);
    await writing;
    return said();
  } catch (error) {
    channel?.signal("KILL");
    channel?.close();
    throw new Unfinished(error as never, said());
  } finally {
    stop.promise.catch(() => undefined);
    signal.removeEventListener("abort", abort);
  }
}
