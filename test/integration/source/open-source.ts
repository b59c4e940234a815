import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type Logger, pino } from "pino";
import type { Clock } from "../../../src/ports/clock.ts";
import { GitMirrorSource, type GitMirrorSourceOptions } from "../../../src/source/git-source.ts";

const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  after(delay, task) {
    const timer = setTimeout(task, delay);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), "fssync-source-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A log that can be read. */
export function memoryLog(): { log: Logger; text: () => string } {
  const lines: string[] = [];
  return { log: pino({ level: "trace" }, { write: (line) => void lines.push(line) }), text: () => lines.join("") };
}

export function sourceOptions(
  given: Pick<GitMirrorSourceOptions, "url" | "dir"> & Partial<GitMirrorSourceOptions>,
): GitMirrorSourceOptions {
  return {
    branch: "main",
    timeout: 20_000,
    allowFileUrls: true,
    common: "common",
    owner: "root",
    group: "root",
    author: { name: "fssync", email: "fssync@example.com" },
    clock,
    log: memoryLog().log,
    ...given,
  };
}

export function openSource(given: Parameters<typeof sourceOptions>[0]): GitMirrorSource {
  return new GitMirrorSource(sourceOptions(given));
}

/**
 * Puts a `git` before the real one in PATH. `script` is sh; it sees the real one as `$GIT`, and a file
 * to write to as `$LOG`; afterwards the real git runs unless it exited.
 */
export async function wrapGit(
  script: string,
): Promise<{ calls(): Promise<string>; clear(): Promise<void> } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "fssync-wrapper-"));
  const log = join(folder, "log");
  const before = process.env["PATH"] ?? "";
  await writeFile(log, "");
  const lookUp = `PATH=${quoted(before)}; export PATH; GIT=$(command -v git); LOG=${quoted(log)}`;
  await writeFile(join(folder, "git"), `#!/bin/sh\n${lookUp}\n${script}\nexec "$GIT" "$@"\n`);
  await chmod(join(folder, "git"), 0o755);
  process.env["PATH"] = folder + delimiter + before;
  return {
    calls: () => readFile(log, "utf8"),
    clear: () => writeFile(log, ""),
    async [Symbol.asyncDispose]() {
      process.env["PATH"] = before;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
