import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { BEGIN, CommandReader, CONNECTOR, HOST } from "../../../../src/transport/builtin/connector.ts";
import { Launcher } from "../../../../src/transport/launcher.ts";
import { runProcess, type Pipes, type ProcessOptions } from "../../../../src/transport/process.ts";
import { realClock } from "../../../support/fleet-clock.ts";
import { descendants, until } from "../../../support/fleet/processes.ts";

describe("the command that rsync asks for", () => {
  function read(rsyncPath: string, ...chunks: readonly string[]) {
    const reader = new CommandReader(rsyncPath);
    const taken = chunks.map((chunk) => reader.take(Buffer.from(chunk))).find((each) => each !== undefined);
    return taken && [taken.command.toString(), taken.rest.toString()];
  }

  test("is whole with the NUL behind it, in however many pieces it comes", () => {
    const whole = "umask 022; exec rsync --server -slogpcRe.LsfxCIvu\0\x1f\0\0\0";
    const taken = ["umask 022; exec rsync --server -slogpcRe.LsfxCIvu", "\x1f\0\0\0"];
    expect(read("umask 022; exec rsync", whole)).toEqual(taken);
    expect(read("umask 022; exec rsync", ...whole.split(""))?.[0]).toBe(taken[0]);
    expect(read("exec rsync", "exec rsync --server -s")).toBeUndefined();
  });

  test.each([
    ["another program", "reboot\0"],
    ["another program in front", "reboot; exec rsync --server -s\0"],
    ["another program behind", "exec rsync --server -s; reboot\0"],
    ["a path behind the flags", "exec rsync --server -s . /etc\0"],
    ["a client", "exec rsync -s\0"],
    ["nothing", "\0"],
    ["what does not end", "x".repeat(2_000_000)],
  ])("is refused when it is not what rsync was told to run: %s", (_, said) => {
    expect(() => read("exec rsync", said)).toThrow("another command");
  });
});

const dir = mkdtempSync(join(tmpdir(), "connector-"));
const launcher = new Launcher({ entry: new URL("../../../../src/launcher-main.ts", import.meta.url), dir });
afterAll(async () => {
  await launcher[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

let count = 0;

/** One file from one folder to another, by two rsyncs that only know their pipes. */
async function copy(
  start: typeof runProcess,
  text: string | Buffer,
  onPipes: (pipes: Pipes) => void,
  more: Partial<ProcessOptions> = {},
) {
  const folder = join(dir, String(++count));
  for (const name of ["from", "to"]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, "from/a"), text);
  const args = ["-rs", "--rsync-path=exec rsync", "-e", CONNECTOR, "--", "from/", `${HOST}:${folder}/to/`];
  const signal = new AbortController().signal;
  const options: ProcessOptions = {
    cwd: folder,
    env: { PATH: process.env["PATH"] },
    stdout: false,
    timeout: 60_000,
    signal,
    onPipes,
    clock: realClock,
    ...more,
  };
  const result = await start("rsync", args, options);
  return { result, arrived: readdirSync(join(folder, "to")).includes("a") && readFileSync(join(folder, "to/a")) };
}

/** Stands for the host: a shell of this machine runs the command. */
function joinShell({ output, input }: Pipes): void {
  const reader = new CommandReader("exec rsync");
  input.write(BEGIN);
  const listen = (chunk: Buffer) => {
    const taken = reader.take(chunk);
    if (!taken) return;
    output.off("data", listen);
    const child = spawn("sh", ["-c", taken.command.toString()], { stdio: "pipe", env: { PATH: process.env["PATH"] } });
    child.stderr.resume();
    child.stdin.on("error", () => undefined).write(taken.rest);
    output.pipe(child.stdin);
    child.stdout.pipe(input.on("error", () => undefined));
  };
  output.on("data", listen);
}

function destroy({ output, input }: Pipes): void {
  for (const pipe of [output, input]) pipe.on("error", () => undefined).destroy();
}

/** What of rsync runs below this process and its launcher. */
function running(): string[] {
  return descendants(process.pid)
    .map(commandLine)
    .filter((line) => /^(rsync|sh|cat)\0/.test(line));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function pipesOpen(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "PipeWrap").length;
}

describe.each([
  ["this process", runProcess],
  ["the launcher", (...work: Parameters<typeof runProcess>) => launcher.run(...work)],
] as const)("rsync without ssh, started by %s", (_, start) => {
  test("sends a file through its pipes and leaves nothing", async () => {
    await copy(start, "warm", joinShell);
    const before = pipesOpen();
    const text = Buffer.alloc(3_000_000, "0123456789abcdef\n");
    const { result, arrived } = await copy(start, text, joinShell);
    expect(result).toMatchObject({ exitCode: 0, stderr: "", timedOut: false, aborted: false });
    expect(arrived && arrived.equals(text)).toBe(true);
    await until(() => running().length === 0, 10_000, "the programs to end");
    await until(() => pipesOpen() <= before, 10_000, "the pipes to close");
  });

  test("loses no byte when many begin at once", async () => {
    const texts = Array.from({ length: 24 }, (__, number) => `${number}`);
    const copies = await Promise.all(texts.map((text) => copy(start, text, joinShell)));
    expect(copies.map(({ arrived }) => String(arrived))).toEqual(texts);
    expect(copies.map(({ result }) => result.exitCode)).toEqual(texts.map(() => 0));
  });

  test("says nothing before somebody listens, and can be ended then", async () => {
    const output = Promise.withResolvers<Socket>();
    const stop = new AbortController();
    const unjoined = copy(start, "a", (pipes) => output.resolve(pipes.output), { signal: stop.signal });
    const said: Buffer[] = [];
    (await output.promise).on("data", (chunk: Buffer) => said.push(chunk));
    let looks = 0;
    const waits = () => running().some((line) => line.startsWith("sh\0"));
    await until(() => (looks = waits() ? looks + 1 : 0) >= 20, 10_000, "the connector to wait");
    stop.abort();
    expect((await unjoined).result).toMatchObject({ aborted: true });
    expect(said).toEqual([]);
    await until(() => running().length === 0, 10_000, "the programs to end");
  });

  test("ends when its pipes end, and says so as after a broken connection", async () => {
    const { result } = await copy(start, "a", destroy);
    // Its own or the connector's, whichever it sees first.
    expect([12, 255]).toContain(result.exitCode);
    // It may write before it reads.
    expect(result.stderr).toMatch(
      /connection unexpectedly closed \(0 bytes received so far\)|safe_write failed.*Broken pipe/,
    );
    await until(() => running().length === 0, 10_000, "the programs to end");
  });

  test("is gone with all that it started when it is killed alone", async () => {
    const ended = Promise.withResolvers<void>();
    const unjoined = copy(start, "a", ({ output, input }) => {
      input.on("error", () => undefined).write(BEGIN);
      output.once("end", () => {
        ended.resolve();
        input.end();
      });
      output.once("data", () => {
        const pid = descendants(process.pid).find((each) => commandLine(each).startsWith("rsync\0-rs"));
        process.kill(pid!, "SIGKILL");
        output.resume();
      });
    });
    await ended.promise;
    expect((await unjoined).result).toMatchObject({ exitCode: null });
    await until(() => running().length === 0, 10_000, "the programs to end");
  });
});
