import { Argument, Command, CommanderError, type OptionValues } from "commander";
import type { Logger } from "pino";
import { asFssyncError, REASONS } from "../model/errors.ts";
import type { LogLevel } from "../log/levels.ts";
import {
  inKubernetes,
  withGlobals,
  withKubernetes,
  withLeader,
  withLeaderElection,
  withServer,
  type Globals,
} from "./globals.ts";
import { apiOptions, withApi } from "./api-options.ts";
import type { Builders } from "./builders.ts";

/** What a command works with. */
export interface Context extends Globals {
  readonly log: Logger;
  readonly build: Builders;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborts at the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal;
  /** Aborts at the second. */
  readonly impatient: AbortSignal;
}

type Action<Options> = (context: Context, names: string[], options: Options) => Promise<number>;

/** Runs one command line and returns its exit code; the design's table says which. */
export async function runProgram(argv: readonly string[], version: string, build: Builders): Promise<number> {
  let exitCode = 0;
  const program = new Command("fssync")
    .description("Keeps configuration files on Linux hosts equal to Git.")
    .version(version)
    .exitOverride()
    .showHelpAfterError("(see fssync --help)");
  // A command's module is loaded when it is run: help and the version wait for none of them.
  const add = <Options extends OptionValues>(command: Command, load: () => Promise<Action<Options>>) => {
    withGlobals(command).exitOverride();
    command.action(async (...args: unknown[]) => {
      const names = command.registeredArguments.length > 0 ? [args[0] ?? []].flat().map(String) : [];
      const known = command.options.some(({ long }) => long === "--namespace");
      const asks = command.options.some(({ long }) => long === "--server");
      const options = {
        ...command.opts<Options>(),
        ...(known && inKubernetes(command)),
        ...(asks && apiOptions(command)),
      };
      const level = command.name() === "run" ? "info" : "warn";
      exitCode = await withContext({ logLevel: level, ...command.opts<Globals>() }, build, async (context) => {
        const action = await load();
        return await action(context, names, options);
      });
    });
    program.addCommand(command);
  };
  const apps = () => new Argument("[apps...]", "apps as mod/env/app; all when none is named");

  add(
    withServer(
      withLeaderElection(
        withKubernetes(
          new Command("run").description("the controller: keeps hosts equal to Git until it is told to stop"),
        ),
      ),
    ),
    async () => (await import("./commands/run.ts")).runCommand,
  );
  add(
    withLeader(new Command("sync").description("one pass over what lags, now"))
      .addArgument(apps())
      .option("--host <address>", "only this host; may be given several times", collect)
      .option("--full", "all files of all hosts, with checksums: over what was changed by hand too", false)
      .option("--allow-prune", "let changes delete more than sync.maxDeletePercent", false),
    async () => (await import("./commands/sync.ts")).syncCommand,
  );
  add(
    withLeader(new Command("plan").description("what a sync would send and delete where; touches no host"))
      .addArgument(apps())
      .option("--host <address>", "only this host; may be given several times", collect)
      .option("-v, --verbose", "say why, and name every file", false)
      .option("--detailed-exitcode", "exit with 2 when there is something to do", false),
    async () => (await import("./commands/plan.ts")).planCommand,
  );
  add(
    withLeader(new Command("verify").description("compares files on hosts with Git; changes nothing"))
      .addArgument(apps())
      .option("--host <address>", "only this host; may be given several times", collect)
      .option("--diff", "what differs in text files; never in what is secret or not for others to read", false),
    async () => (await import("./commands/verify.ts")).verifyCommand,
  );
  add(
    withApi(
      withKubernetes(
        new Command("status").description("what the status store knows of apps and hosts").addArgument(apps()),
      ),
    ),
    async () => (await import("./commands/status.ts")).statusCommand,
  );
  add(
    withApi(
      withLeader(
        new Command("resync").description("asks the running controller for a forced resync of an app or a host"),
      ),
    ).addArgument(new Argument("<name>", "an app as mod/env/app, or a host")),
    async () => (await import("./commands/resync.ts")).resyncCommand,
  );
  add(
    new Command("validate").description("checks the configuration, and the repo's layout and attributes"),
    async () => (await import("./commands/validate.ts")).validateCommand,
  );

  try {
    await program.parseAsync(argv);
    return exitCode;
  } catch (error) {
    // Commander has printed its own message; asking for help or the version is no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    throw error;
  }
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

async function withContext(
  globals: Globals & { logLevel: LogLevel },
  build: Builders,
  action: (context: Context) => Promise<number>,
): Promise<number> {
  const { stdout, stderr } = process;
  const { createLogger } = await import("../log/logger.ts");
  const log = createLogger({ level: globals.logLevel, terminal: stderr.isTTY === true });
  using signals = onSignals(log);
  try {
    return await action({ ...globals, log, build, stdout, stderr, ...signals });
  } catch (thrown) {
    const error = asFssyncError(thrown);
    stderr.write(`fssync: ${error.reason}: ${error.message}\n`);
    if (error.reason === "Internal") log.debug({ err: thrown }, "internal error");
    stderr.write(`${REASONS[error.reason].next}\n`);
    return 1;
  }
}

function onSignals(log: Logger): Pick<Context, "signal" | "impatient"> & Disposable {
  const first = new AbortController();
  const second = new AbortController();
  const listener = (signal: NodeJS.Signals) => {
    log.info({ signal }, first.signal.aborted ? "told to stop at once" : "told to stop");
    (first.signal.aborted ? second : first).abort();
  };
  const names = ["SIGTERM", "SIGINT"] as const;
  for (const name of names) process.on(name, listener);
  return {
    signal: first.signal,
    impatient: second.signal,
    [Symbol.dispose]: () => names.forEach((name) => process.off(name, listener)),
  };
}
