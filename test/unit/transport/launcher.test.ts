import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Launcher } from "../../../src/transport/launcher.ts";
import type { ProcessOptions } from "../../../src/transport/process.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { until } from "../../support/fleet/processes.ts";

const entry = new URL("../../../src/launcher-main.ts", import.meta.url);
const launcher = new Launcher({ entry, lost: () => Promise.resolve() });
afterAll(() => launcher[Symbol.asyncDispose]());

function sh(script: string, options: Partial<ProcessOptions> = {}) {
  const env = { PATH: process.env["PATH"] ?? "" };
  const signal = new AbortController().signal;
  return launcher.run("sh", ["-c", script], { cwd: "/", env, timeout: 20_000, signal, clock: realClock, ...options });
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
    const dir = mkdtempSync(join(tmpdir(), "launcher-"));
    const pidFile = join(dir, "pid");
    const module = JSON.stringify(new URL("../../../src/transport/launcher.ts", import.meta.url).href);
    const code = `
      import { Launcher } from ${module};
      const launcher = new Launcher({ entry: new URL(${JSON.stringify(entry.href)}), lost: async () => {} });
      const { signal } = new AbortController();
      const options = { cwd: "/", env: { PATH: process.env.PATH }, timeout: 20_000, signal };
      setTimeout(() => process.exit(), 20_000);
      await launcher.run("sh", ["-c", 'echo $$ > "$0.new"; mv "$0.new" "$0"; sleep 20', ${JSON.stringify(pidFile)}], options);
    `;
    const controller = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: "ignore" });
    try {
      await until(() => existsSync(pidFile), 10_000, "the program to run");
      const pid = Number(readFileSync(pidFile, "utf8"));
      controller.kill("SIGKILL");
      await until(() => !existsSync(`/proc/${pid}`), 5000, "the program to end");
    } finally {
      controller.kill("SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
