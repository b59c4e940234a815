import type { Socket } from "node:net";
import type { ClientChannel } from "ssh2";
import { FssyncError } from "../../model/errors.ts";
import { decodePath } from "../../model/path.ts";
import type { Clock } from "../../ports/clock.ts";
import { collect, OUTPUT_LIMIT, printable, type Pipes, type ProcessResult } from "../process.ts";
import { interrupted, Unfinished, type Run } from "../programs.ts";
import type { RsyncRun } from "../ssh-client.ts";
import type { Connection } from "./connection.ts";
import { onFlood } from "./flood.ts";
import { Unsent } from "./pool.ts";
import { BEGIN, CommandReader, CONNECTOR, HOST } from "./connector.ts";

/** Milliseconds for the host's last words when rsync has ended here. */
const LAST_WORDS = 2000;

/** What ssh ends with when it cannot tell how the command ended. */
const UNKNOWN_END = 255;

interface PlainRsyncOptions {
  readonly connection: Connection;
  readonly run: Run;
  /** Ends it at once. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/**
 * rsync in a process of its own, against the one that the host's shell starts over the connection. The result is what it
 * would be over ssh: the host's words are on standard error, and how its command ended counts. Throws Unfinished when it was
 * ended first, could not begin on the host, or the connection was lost; Unsent when the host has not heard of it. A
 * connection on which the host may still be at work is ended.
 */
export async function plainRsync(
  { options, rsyncPath, source, destination }: RsyncRun,
  { connection, run, signal, clock }: PlainRsyncOptions,
): Promise<ProcessResult> {
  using _ = connection.watched();
  using remote = new RemoteRsync(connection, rsyncPath);
  const enough = Promise.withResolvers<void>();
  const stop = () => {
    remote.stop();
    enough.resolve();
  };
  signal.addEventListener("abort", stop, { once: true });
  const args = [...options, `--rsync-path=${rsyncPath}`, "-e", CONNECTOR, "--", source, `${HOST}:${destination}`];
  try {
    const result = await run("rsync", args, { onPipes: (pipes) => remote.join(pipes) });
    using _last = clock.after(LAST_WORDS, enough.resolve);
    await Promise.race([remote.ended, enough.promise]);
    // Its pipes may have ended it before whoever runs it could.
    if (signal.aborted) throw new Unfinished(interrupted(), result);
    if (remote.error instanceof Unsent) throw remote.error;
    if (remote.error) throw new Unfinished(remote.error, result);
    return remote.added(result);
  } catch (error) {
    throw error instanceof Unfinished ? new Unfinished(error, remote.added(error.result)) : error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** The other rsync: a command on the host, joined to the pipes of the one here. */
class RemoteRsync implements Disposable {
  readonly #connection: Connection;
  readonly #command: CommandReader;
  readonly #ended = Promise.withResolvers<void>();
  #pipes: Pipes | undefined;
  #channel: ClientChannel | undefined;
  /** rsync here ended before the host's did. */
  #hereFirst = false;
  /** The host may be at work. */
  #open = false;
  #stopped = false;
  #exitCode: number | undefined;
  #stderr: () => Buffer = () => Buffer.alloc(0);
  #error: FssyncError | undefined;

  constructor(connection: Connection, rsyncPath: string) {
    this.#connection = connection;
    this.#command = new CommandReader(rsyncPath);
  }

  /** What kept it from beginning or broke it. */
  get error(): FssyncError | undefined {
    return this.#error;
  }

  /** Resolves when all is known of the command's end; at once when it was not begun. */
  get ended(): Promise<void> {
    return this.#channel ? this.#ended.promise : Promise.resolve();
  }

  join(pipes: Pipes): void {
    this.#pipes = pipes;
    // Who ends first breaks the other's pipe; the exit codes tell more.
    for (const pipe of [pipes.output, pipes.input]) pipe.on("error", () => undefined);
    if (this.#stopped) return this.stop();
    pipes.input.write(BEGIN);
    this.#forward(pipes).catch((error: unknown) => {
      if (error instanceof FssyncError && !this.#stopped) this.#error = error;
      this.stop();
    });
  }

  /** What it was for rsync here, with what is known of the host. As with ssh, the host counts unless rsync ended first. */
  added(result: ProcessResult): ProcessResult {
    const there = printable(this.#stderr());
    const stderr = there === "" || there.endsWith("\n") ? `${there}${result.stderr}` : `${there}\n${result.stderr}`;
    const counts = result.exitCode !== null && this.#exitCode !== undefined && !this.#hereFirst;
    return { ...result, stderr, ...(counts && { exitCode: Math.max(result.exitCode, this.#exitCode!) }) };
  }

  /** From now on nothing more is written to the host. */
  stop(): void {
    this.#stopped = true;
    this.#pipes?.output.destroy();
    this.#pipes?.input.destroy();
    if (!this.#open) return;
    try {
      this.#channel?.signal("TERM");
      this.#channel?.close();
    } catch {
      // The connection has ended.
    }
  }

  [Symbol.dispose](): void {
    const open = this.#open;
    this.stop();
    if (open) this.#connection.destroy();
  }

  /** What rsync says: the command, then everything for it, until it has ended. */
  async #forward({ output, input }: Pipes): Promise<void> {
    for await (const chunk of output as AsyncIterable<Buffer>) {
      if (this.#channel) await this.#connection.write(this.#channel, chunk, { more: true });
      else await this.#offer(chunk, input);
    }
    if (this.#open) this.#leave();
  }

  /** rsync here has ended first: what the host says from now on is an answer to that. */
  #leave(): void {
    this.#hereFirst = true;
    const said = this.#stderr();
    this.#stderr = () => said;
    this.#channel?.end();
  }

  async #offer(chunk: Buffer, input: Socket): Promise<void> {
    const taken = this.#command.take(chunk);
    if (!taken) return;
    const command = decodePath(taken.command);
    const channel = await this.#connection.exec(command, (begun) => this.#begin(begun, input));
    if (this.#stopped) return this.stop();
    await this.#connection.write(channel, taken.rest, { more: true });
  }

  #begin(channel: ClientChannel, input: Socket): void {
    this.#channel = channel;
    this.#open = true;
    this.#stderr = collect(channel.stderr, OUTPUT_LIMIT);
    onFlood(channel.stderr, () => this.#flooded());
    channel.on("error", () => undefined);
    channel.once("exit", (code: number | null) => (this.#exitCode = code ?? undefined));
    channel.once("close", () => void this.#end(input));
    // The end of what it says is not its end: rsync here waits for the exit code, as it would for ssh's.
    channel.pipe(input, { end: false });
    // A pipe stops reading when its reader has gone, and then the channel would never close.
    input.once("close", () => {
      onFlood(channel, () => this.#flooded());
      channel.resume();
    });
  }

  /** Nobody waits for the last word of a host that says so much. */
  #flooded(): void {
    this.#error ??= new FssyncError("ProtocolError", "the host prints without end; look at what its login does");
    this.stop();
    this.#ended.resolve();
  }

  async #end(input: Socket): Promise<void> {
    this.#open = false;
    input.end();
    // What ended the command may have ended the connection.
    if (this.#exitCode === undefined && !(await this.#connection.answers())) this.#error ??= this.#connection.lost();
    this.#exitCode ??= UNKNOWN_END;
    this.#ended.resolve();
  }
}
