import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { instantIn } from "../../../src/transport/fence.ts";
import { Launcher } from "../../../src/transport/launcher.ts";
import type { ProcessOptions } from "../../../src/transport/process.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { until } from "../../support/fleet/processes.ts";

const entry = new URL("../../../src/launcher-main.ts", import.meta.url);
const dir = mkdtempSync(join(tmpdir(), "launcher-"));
const launcher = new Launcher({ entry, dir });
afterAll(async () => {
  await launcher[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

function sh(script: string, options: Partial<ProcessOptions> = {}, by = launcher) {
  const env = { PATH: process.env["PATH"] ?? "" };
  const signal = new AbortController().signal;
  return by.run("sh", ["-c", script], { cwd: "/", env, timeout: 20_000, signal, clock: realClock, ...options });
}

describe("a launcher", () => {
  test("answers what came of a program as runProcess does", async () => {
    const result = await sh("cat; echo err >&2; exit 3", { input: Buffer.from("in\n") });
    expect(result).toMatchObject({ exitCode: 3, stdout: "in\n", stderr: "err\n", timedOut: false, aborted: false });
  });

  test("runs many at a time, each with its own answer", async () => {
    const results = await Promise.all(Array.from({ length: 50 }, (_, number) => sh(`echo ${number}`)));
    expect(results.map(({ stdout }) => stdout.trim())).toEqual(Array.from({ length: 50 }, (_, number) => `${number}`));
  });

  test("keeps the code of what could not be started", async () => {
    const signal = new AbortController().signal;
    const options = { cwd: "/", env: {}, timeout: 1000, signal, clock: realClock };
    const { spawnError } = await launcher.run("no-such-program", [], options);
    expect(spawnError).toMatchObject({ code: "ENOENT" });
  });

  test("ends a program at its deadline and on abort", async () => {
    expect(await sh("sleep 60", { timeout: 50 })).toMatchObject({ timedOut: true, exitCode: null });
    const stop = new AbortController();
    const running = sh("sleep 60", { signal: stop.signal });
    stop.abort();
    expect(await running).toMatchObject({ aborted: true });
    expect(await sh("true", { signal: AbortSignal.abort() })).toMatchObject({ aborted: true });
  });

  test("that dies fails what it ran, and the next program runs in a new one", async () => {
    const result = await sh("kill -9 $PPID; sleep 1");
    expect(result.spawnError).toMatchObject({ code: "EAGAIN" });
    expect(await sh("echo again")).toMatchObject({ stdout: "again\n" });
  });

  test("ends what it runs when its controller is killed", async () => {
    await using controller = await startController();
    controller.signal("SIGKILL");
    await until(() => !runs(controller.program), 5000, "the program to end");
  });
});

describe("the fence of a launcher", () => {
  test("ends what runs when the time is over, refuses more, and opens again", async () => {
    await using fenced = new Launcher({ entry, dir });
    const running = sh("trap '' TERM; while :; do sleep 0.05; done", {}, fenced);
    const start = performance.now();
    fenced.allow(instantIn(300));
    expect(await running).toMatchObject({ aborted: true, exitCode: null });
    const took = performance.now() - start;
    expect(took).toBeGreaterThanOrEqual(299);
    expect(took).toBeLessThan(3000);
    expect(await sh("echo refused", {}, fenced)).toMatchObject({ aborted: true, stdout: "" });
    fenced.allow(instantIn(20_000));
    expect(await sh("echo again", {}, fenced)).toMatchObject({ aborted: false, stdout: "again\n" });
  });

  test("moves with each allow", async () => {
    await using fenced = new Launcher({ entry, dir });
    fenced.allow(instantIn(10_000));
    const long = sh("sleep 0.8; echo whole", {}, fenced);
    fenced.allow(instantIn(400));
    fenced.allow(instantIn(20_000));
    expect(await long).toMatchObject({ aborted: false, stdout: "whole\n" });
  });

  test("is known to a launcher that starts later, and to the one after it", async () => {
    await using fenced = new Launcher({ entry, dir });
    fenced.allow(instantIn(-1));
    expect(await sh("echo refused", {}, fenced)).toMatchObject({ aborted: true, stdout: "" });
    fenced.allow(instantIn(20_000));
    expect(await sh("kill -9 $PPID; sleep 1", {}, fenced)).toMatchObject({ spawnError: { code: "EAGAIN" } });
    fenced.allow(instantIn(-1));
    expect(await sh("echo refused", {}, fenced)).toMatchObject({ aborted: true, stdout: "" });
  });

  test("an order that arrives late does not lengthen the time", async () => {
    await using fenced = new Launcher({ entry, dir });
    const pid = Number((await sh("echo $PPID", {}, fenced)).stdout);
    const late = instantIn(100);
    process.kill(pid, "SIGSTOP");
    fenced.allow(late);
    const refused = sh("echo refused", {}, fenced);
    await until(() => instantIn(0).monotonic > late.monotonic, 5000, "the time to be over");
    process.kill(pid, "SIGCONT");
    expect(await refused).toMatchObject({ aborted: true, stdout: "" });
  });

  test("a program that ended in time while the launcher was stopped is not believed", async () => {
    await using fenced = new Launcher({ entry, dir });
    const [pids, go] = [join(dir, "pids"), join(dir, "go")];
    const script = 'echo $PPID $$ > "$0.new"; mv "$0.new" "$0"; until [ -e go ]; do sleep 0.02; done; echo done';
    const options = { cwd: dir, env: { PATH: process.env.PATH }, timeout: 20_000, clock: realClock };
    const signal = new AbortController().signal;
    const over = instantIn(2000);
    fenced.allow(over);
    const running = fenced.run("sh", ["-c", script, pids], { ...options, signal });
    await until(() => existsSync(pids), 10_000, "the program to run");
    const [pid, program] = readFileSync(pids, "utf8").split(" ").map(Number);
    process.kill(pid!, "SIGSTOP");
    writeFileSync(go, "");
    await until(() => !runs(program!), 5000, "the program to end");
    expect(instantIn(0).monotonic).toBeLessThan(over.monotonic);
    await until(() => instantIn(0).monotonic > over.monotonic, 5000, "the time to be over");
    process.kill(pid!, "SIGCONT");
    expect(await running).toMatchObject({ aborted: true });
  });

  test("holds while the controller is stopped, and on its return until it allows again", async () => {
    await using controller = await startController(1500);
    controller.signal("SIGSTOP");
    await until(() => !runs(controller.program), 2500, "the program to end within a second of the fence");
    expect(instantIn(0).monotonic).toBeGreaterThanOrEqual(controller.fence);
    expect(controller.said()).toBe("");
    controller.signal("SIGCONT");
    await until(() => controller.said().includes("\n"), 5000, "the outcomes");
    expect(JSON.parse(controller.said())).toEqual({ first: true, second: true, third: "again\n" });
  });

  test("holds before all else in a launcher that was stopped too", async () => {
    await using controller = await startController(1500);
    const processes = [controller.pid, controller.launcher];
    for (const pid of processes) process.kill(pid, "SIGSTOP");
    await until(() => instantIn(0).monotonic > controller.fence, 5000, "the fence");
    expect(runs(controller.program)).toBe(true);
    for (const pid of processes) process.kill(pid, "SIGCONT");
    await until(() => !runs(controller.program), 1000, "the program to end at once");
    await until(() => controller.said().includes("\n"), 5000, "the outcomes");
    expect(JSON.parse(controller.said())).toEqual({ first: true, second: true, third: "again\n" });
  });
});

interface Controller extends AsyncDisposable {
  readonly pid: number;
  readonly launcher: number;
  /** What its launcher runs. */
  readonly program: number;
  /** When the time that it allowed is over, by the clock of the machine. */
  readonly fence: number;
  /** The one line in which it tells what came of its programs. */
  readonly said: () => string;
  readonly signal: (signal: NodeJS.Signals) => void;
}

/** A process with a launcher, which runs a program that does not listen to SIGTERM; fenced when `allowed` is given. */
async function startController(allowed?: number): Promise<Controller> {
  const folder = mkdtempSync(join(tmpdir(), "controller-"));
  const file = join(folder, "pids");
  const url = (name: string) => JSON.stringify(new URL(`../../../src/${name}`, import.meta.url).href);
  const code = `
    import { writeFileSync, renameSync } from "node:fs";
    import { Launcher } from ${url("transport/launcher.ts")};
    import { instantIn } from ${url("transport/fence.ts")};
    const launcher = new Launcher({ entry: new URL(${url("launcher-main.ts")}), dir: ${JSON.stringify(folder)} });
    const { signal } = new AbortController();
    const options = { cwd: "/", env: { PATH: process.env.PATH }, timeout: 20_000, signal };
    const run = (script) => launcher.run("sh", ["-c", script, ${JSON.stringify(file)}], options);
    setTimeout(() => process.exit(), 20_000);
    const fence = instantIn(${allowed ?? 0});
    ${allowed === undefined ? "" : "launcher.allow(fence);"}
    process.stderr.write(String(fence.monotonic));
    const first = await run('trap "" TERM; echo $PPID $$ > "$0.new"; mv "$0.new" "$0"; while :; do sleep 0.05; done');
    const second = await run("echo refused");
    launcher.allow(instantIn(20_000));
    const third = await run("echo again");
    console.log(JSON.stringify({ first: first.aborted, second: second.aborted && !second.stdout, third: third.stdout }));
    await launcher[Symbol.asyncDispose]();
    process.exit();
  `;
  const controller = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [said, fence] = [collect(controller, "stdout"), collect(controller, "stderr")];
  const end = () => {
    controller.kill("SIGCONT");
    controller.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
    return Promise.resolve();
  };
  await until(() => existsSync(file), 10_000, "the program to run").catch(async (error) => {
    await end();
    throw error;
  });
  const [launcherPid, program] = readFileSync(file, "utf8").split(" ").map(Number);
  return {
    pid: controller.pid!,
    launcher: launcherPid!,
    program: program!,
    fence: Number(fence()),
    said,
    signal: (signal) => controller.kill(signal),
    [Symbol.asyncDispose]: end,
  };
}

function collect(child: ChildProcess, name: "stdout" | "stderr"): () => string {
  let text = "";
  child[name]!.setEncoding("utf8").on("data", (part: string) => (text += part));
  return () => text;
}

function runs(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}
