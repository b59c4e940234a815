/** A test file that leaves a process running fails: it would be the next one's trouble. */
import { readFileSync } from "node:fs";
import { afterAll } from "vitest";
import { descendants, until } from "../fleet/processes.ts";

afterAll(async () => {
  const running = () => descendants(process.pid);
  await until(() => running().length === 0, 3000, "child processes to end").catch(() => {
    throw new Error(`left running by this file:\n${running().map(commandLine).join("\n")}`);
  });
});

function commandLine(pid: number): string {
  try {
    return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")}`;
  } catch {
    return `${pid} (gone since)`;
  }
}
