import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { escapeControls, runProcess, type ProcessOptions } from "../../../src/transport/process.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { descendants, until } from "../../support/fleet/processes.ts";

function sh(script: string, options: Partial<ProcessOptions> = {}) {
  const signal = new AbortController().signal;
  const base = { cwd: tmpdir(), env: { PATH: process.env.PATH }, timeout: 10_000, signal, clock: realClock };
  return runProcess("sh", ["-c", script], { ...base, ...options });
}

function runs(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

describe("a child process", () => {
  test("gives its exit code and both outputs", async () => {
    expect(await sh("echo out; echo err >&2; exit 3")).toMatchObject({ exitCode: 3, stdout: "out\n", stderr: "err\n" });
  });

  test("reads its input, and may end before it has read it", async () => {
    expect(await sh("cat", { input: Buffer.from("in") })).toMatchObject({ exitCode: 0, stdout: "in" });
    expect(await sh("exit 4", { input: Buffer.alloc(1_000_000) })).toMatchObject({ exitCode: 4 });
  });

  test("is ended at its deadline, with its children", async () => {
    const result = await sh("sleep 600 & echo $!; wait", { timeout: 200 });
    expect(result).toMatchObject({ timedOut: true, aborted: false });
    expect(runs(Number(result.stdout))).toBe(false);
  });

  test("is ended by an abort", async () => {
    const controller = new AbortController();
    const result = sh("sleep 600", { signal: controller.signal });
    controller.abort();
    expect(await result).toMatchObject({ aborted: true, timedOut: false, exitCode: null });
  });

  test("is not started after an abort", async () => {
    expect(await sh("echo started", { signal: AbortSignal.abort() })).toMatchObject({ aborted: true, stdout: "" });
  });

  test("is killed at the fence at once, with its children, whatever it listens to", async () => {
    const fence = new AbortController();
    const before = performance.now();
    const script = "trap '' TERM; sleep 600 & echo $!; while :; do sleep 0.05; done";
    const result = sh(script, { fence: fence.signal, grace: 20_000, drain: 20_000 });
    await until(() => descendants(process.pid).length >= 2, 5000, "the program to run");
    fence.abort();
    expect(await result).toMatchObject({ aborted: true, timedOut: false, exitCode: null });
    expect(runs(Number((await result).stdout))).toBe(false);
    expect(performance.now() - before).toBeLessThan(5000);
  });

  test("is killed at the fence when it has been told to end and takes its time", async () => {
    const [stop, fence] = [new AbortController(), new AbortController()];
    const script = "trap 'echo told' TERM; echo $$; while :; do sleep 0.05; done";
    const result = sh(script, { signal: stop.signal, fence: fence.signal, grace: 20_000 });
    await until(() => descendants(process.pid).length >= 2, 5000, "the program to run");
    stop.abort();
    fence.abort();
    expect(await result).toMatchObject({ aborted: true, exitCode: null });
  });

  test("is not started after the fence", async () => {
    expect(await sh("echo started", { fence: AbortSignal.abort() })).toMatchObject({ aborted: true, stdout: "" });
  });

  test("is killed when it does not listen to SIGTERM", async () => {
    const result = await sh("trap '' TERM; echo $$; while :; do sleep 0.05; done", { timeout: 200, grace: 100 });
    expect(result.timedOut).toBe(true);
    expect(runs(Number(result.stdout))).toBe(false);
  });

  test("fault 40: a grandchild that keeps the pipe open does not hold it", async () => {
    const before = performance.now();
    const result = await sh("setsid sleep 60 & echo $!; exit 5", { drain: 200 });
    expect(result).toMatchObject({ exitCode: 5, timedOut: false });
    expect(performance.now() - before).toBeLessThan(5000);
    process.kill(Number(result.stdout), "SIGKILL");
    await until(() => !runs(Number(result.stdout)), 5000, "the grandchild to end");
  });

  test("fault 36: a flood is read to its end and kept to 64 KiB", async () => {
    const result = await sh("yes flood | head -c 5000000 >&2; echo done");
    expect(result.stdout).toBe("done\n");
    expect(result.stderr.length).toBe(65_536);
  });

  test("gives its output as it came when that is asked for", async () => {
    const result = await sh("printf '\\000\\377\\033a\\r\\n'", { rawStdout: 6 });
    expect(result).toMatchObject({ exitCode: 0, stdout: "\u0000\u00ff\u001ba\r\n", flooded: false });
  });

  test("is ended when it says more than was asked for", async () => {
    const result = await sh("yes flood; echo never >&2", { rawStdout: 100_000 });
    expect(result).toMatchObject({ flooded: true, timedOut: false, aborted: false, stderr: "" });
    expect(result.stdout.length).toBe(100_000);
  });

  test("a program that is not there is an error, not an exception", async () => {
    const options = { cwd: tmpdir(), env: {}, timeout: 1000, signal: new AbortController().signal, clock: realClock };
    const result = await runProcess("no-such-program", [], options);
    expect(result.spawnError?.code).toBe("ENOENT");
  });

  test("fault 42: without file handles it is EMFILE, not an exception", () => {
    const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
    const script = `
      import { openSync } from "node:fs";
      import { runProcess } from ${url("../../../src/transport/process.ts")};
      import { realClock } from ${url("../../support/fleet-clock.ts")};
      try { for (;;) openSync("/dev/null"); } catch {}
      const signal = new AbortController().signal;
      const result = await runProcess("true", [], { cwd: "/", env: {}, timeout: 1000, signal, clock: realClock });
      console.log(result.spawnError.code);`;
    const command = 'ulimit -n 64; exec "$0" --input-type=module-typescript -e "$1"';
    const { stdout, stderr } = spawnSync("sh", ["-c", command, process.execPath, script], { encoding: "utf8" });
    expect(`${stdout}${stderr}`.trim()).toBe("EMFILE");
  });

  test("leaves no listener on the signal", async () => {
    const controller = new AbortController();
    let added = 0;
    const { signal } = controller;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (...args: Parameters<typeof add>) => (added++, add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (added--, remove(...args));
    await sh("true", { signal });
    expect(added).toBe(0);
  });
});

test("control characters are shown, not sent on", () => {
  expect(escapeControls("a\x1b[31mb\r\nc\td\x00\x9b")).toBe("a\\x1b[31mb\nc\td\\x00\\x9b");
});
