import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { hostKey } from "../../../src/model/host.ts";
import { encodePath } from "../../../src/model/path.ts";
import type { Clock } from "../../../src/ports/clock.ts";
import type { HostChange } from "../../../src/ports/transport.ts";
import { BatchRuns, type Laid } from "../../../src/transport/batch/batch-runs.ts";
import { Fence } from "../../../src/transport/fence.ts";
import { PreparedLists } from "../../../src/transport/prepared-lists.ts";
import { NOTHING, runProcess, type ProcessResult } from "../../../src/transport/process.ts";
import { Programs } from "../../../src/transport/programs.ts";
import type { CommandOptions, Session } from "../../../src/transport/ssh-client.ts";
import { Snapshots } from "../../support/fleet-change.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { run } from "../../support/fleet/processes.ts";
import type { HostShell } from "../../support/host-shells.ts";
import { recordingLogger } from "../../support/log-lines.ts";

interface BatchHostOptions {
  readonly shell?: HostShell;
  readonly clock?: Clock;
  readonly log?: Logger;
  /** rsync on the host. */
  readonly rsyncPath?: string;
  /** Programs of the controller that are found instead of the real ones. */
  readonly start?: typeof runProcess;
}

interface LayOptions {
  readonly root?: string;
  readonly address?: string;
  readonly user?: string;
  readonly waits?: boolean;
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

/** Batches, and in the place of a host that is reached over ssh a folder and a shell. */
export class ShellHost implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "batch-"));
  readonly root = join(this.dir, "a root");
  readonly work = join(this.dir, "work");
  readonly snapshots: Snapshots;
  readonly runs: BatchRuns;
  readonly lines: ReturnType<typeof recordingLogger>["lines"];
  /** What its programs are found in. */
  path: string;
  /** Bytes that were sent to it but for the commands, and how many commands. */
  sent = 0;
  commands = 0;
  readonly #rsyncPath: string;
  readonly #prepared: PreparedLists[] = [];
  #count = 0;

  constructor(options: BatchHostOptions = {}) {
    const { shell, clock = realClock, start = runProcess } = options;
    for (const dir of [this.root, this.work]) mkdirSync(dir);
    this.snapshots = new Snapshots(join(this.dir, "snapshots"));
    const fence = new Fence({ clock, over: () => Promise.resolve() });
    const programs = new Programs({ dir: this.work, withAgent: false, start, fence, clock });
    const { log, lines } = recordingLogger();
    this.lines = lines;
    const { signal } = new AbortController();
    this.runs = new BatchRuns({ dir: this.work, programs, signal, clock, log });
    this.path = this.#programsOf(shell);
    this.#rsyncPath = options.rsyncPath ?? "rsync";
  }

  async prepare(change: HostChange): Promise<PreparedLists> {
    const prepared = await PreparedLists.make(change, join(this.work, `change-${++this.#count}`));
    this.#prepared.push(prepared);
    return prepared;
  }

  async lay(change: HostChange | PreparedLists, options: LayOptions = {}): Promise<Laid> {
    const { root = this.root, address = "10.0.0.1", user = "root", waits = true, timeout = 60_000 } = options;
    const { signal = new AbortController().signal } = options;
    const prepared = change instanceof PreparedLists ? change : await this.prepare(change);
    const host = { key: hostKey(address, 22), address, port: 22, user, root };
    const remote = { host, sudo: false, rsyncPath: this.#rsyncPath, ioTimeout: 60 };
    const session: Session = {
      waits,
      command: (command, options = {}) => this.#run(command, options),
      rsync: () => Promise.reject(new Error("not in this test")),
    };
    return this.runs.lay(prepared, remote, session, { timeout, signal });
  }

  /** Puts a program in front of all others of the host. */
  program(name: string, script: string): void {
    const bin = join(this.dir, "bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    if (!this.path.startsWith(`${bin}:`)) this.path = `${bin}:${this.path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const prepared of this.#prepared) await prepared[Symbol.asyncDispose]();
    rmSync(this.dir, { recursive: true, force: true });
  }

  #run(command: string, { input = new Uint8Array(), whenSaid }: CommandOptions): Promise<ProcessResult> {
    this.commands += 1;
    const { promise, resolve, reject } = Promise.withResolvers<ProcessResult>();
    // An argument of spawn cannot have all bytes.
    const file = join(this.dir, `command-${this.commands}`);
    writeFileSync(file, encodePath(command));
    const child = spawn("sh", [file], { env: { PATH: this.path, HOME: this.dir } });
    let stdout = "";
    let stderr = "";
    let asked = false;
    child.stdin.on("error", () => undefined);
    const send = async (more: () => Promise<readonly Uint8Array[]>) => {
      const bytes = Buffer.concat(await more());
      child.stdin.end(bytes);
      this.sent += bytes.length;
    };
    child.stdin.write(input);
    this.sent += input.length;
    if (!whenSaid) child.stdin.end();
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
      if (!whenSaid || asked || !stdout.includes(`${whenSaid.line}\n`)) return;
      asked = true;
      void send(whenSaid.input);
    });
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ ...NOTHING, exitCode, stdout, stderr }));
    return promise;
  }

  /** Of busybox nothing else but rsync. */
  #programsOf(shell: HostShell | undefined): string {
    if (!shell || shell.name === "sh") return process.env.PATH!;
    const bin = join(this.dir, "shell");
    mkdirSync(bin);
    if (shell.name === "bash") symlinkSync(run("which", ["bash"]).trim(), join(bin, "sh"));
    symlinkSync(run("which", ["rsync"]).trim(), join(bin, "rsync"));
    return `${bin}:${shell.path}`;
  }
}
