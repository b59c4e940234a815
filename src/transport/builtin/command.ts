import type { ClientChannel } from "ssh2";
import { asFssyncError } from "../../model/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import { collect, NOTHING, OUTPUT_LIMIT, printable, type ProcessResult } from "../process.ts";
import { late, Unfinished } from "../programs.ts";
import type { CommandOptions } from "../ssh-client.ts";
import { asks, feed } from "./command-input.ts";
import type { Connection } from "./connection.ts";
import { onFlood } from "./flood.ts";
import { Limit } from "../limit.ts";
import { Unsent } from "./pool.ts";

/** Milliseconds in which a host that says too much ends what it was told to end, or its connection is ended. */
const FLOOD_ENDS = 1000;

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
 * to end then, and the connection must not be used again. Throws Unsent when the host has not heard of it.
 */
export async function runCommand(
  connection: Connection,
  command: string,
  options: CommandOptions,
  { left, timeout, signal, clock }: Limits,
): Promise<ProcessResult> {
  using limit = new Limit({ left, late: () => late(timeout), signal, clock });
  using _ = connection.watched();
  using stack = new DisposableStack();
  const running = new Running(options, () => stack.use(clock.after(FLOOD_ENDS, () => connection.destroy())));
  try {
    const channel = await limit.race(connection.exec(command, (begun) => running.follow(begun)));
    await limit.race(Promise.all([running.ended, feed(connection, channel, options, running.asked)]));
    const result = running.result();
    // What ended the command may have ended the connection: then nobody knows what the command would have come to.
    const isCut = result.exitCode === null && !result.flooded && !(await limit.race(connection.answers()));
    if (isCut) throw connection.lost();
    return result;
  } catch (error) {
    running.end();
    if (error instanceof Unsent) throw error;
    throw new Unfinished(asFssyncError(error), running.result());
  }
}

/** A command that runs on a host, and what it has said. */
class Running {
  readonly ended: Promise<void>;
  /** Whether it wants the rest of its input. */
  readonly asked: Promise<boolean>;
  readonly #options: CommandOptions;
  readonly #rawStdout: number | undefined;
  readonly #asks = Promise.withResolvers<boolean>();
  readonly #closed = Promise.withResolvers<void>();
  #channel: ClientChannel | undefined;
  #stdout: () => Buffer = () => Buffer.alloc(0);
  #stderr: () => Buffer = () => Buffer.alloc(0);
  #exitCode: number | null = null;
  #flooded = false;
  readonly #ending: () => void;

  /** `ending` is called when it is told to end because it says too much. */
  constructor(options: CommandOptions, ending: () => void) {
    this.#options = options;
    this.#ending = ending;
    this.#rawStdout = options.rawStdout;
    this.ended = this.#closed.promise;
    this.asked = this.#asks.promise;
  }

  follow(channel: ClientChannel): void {
    this.#channel = channel;
    const isRaw = this.#rawStdout !== undefined;
    this.#stdout = collect(channel, this.#rawStdout ?? OUTPUT_LIMIT, () => isRaw && this.#flood());
    this.#stderr = collect(channel.stderr, OUTPUT_LIMIT);
    for (const stream of isRaw ? [channel.stderr] : [channel, channel.stderr]) onFlood(stream, () => this.#flood());
    this.#asks.resolve(asks(channel, this.#options));
    channel.once("exit", (code: number | null) => (this.#exitCode = code));
    channel.once("close", () => this.#closed.resolve());
  }

  result(): ProcessResult {
    const stdout = this.#stdout();
    return {
      ...NOTHING,
      exitCode: this.#exitCode,
      stdout: this.#rawStdout === undefined ? printable(stdout) : stdout.toString("latin1"),
      stderr: printable(this.#stderr()),
      flooded: this.#flooded,
    };
  }

  /** A host may refuse the signal; the end of the connection ends the rest. */
  end(): void {
    try {
      this.#channel?.signal("TERM");
      this.#channel?.close();
    } catch {
      // The connection has ended.
    }
  }

  #flood(): void {
    if (this.#flooded) return;
    this.#flooded = true;
    this.end();
    this.#ending();
  }
}
