import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCommand, onProcessEnd } from "./fleet/processes.ts";

/** A shell as hosts have it, with its programs. */
export interface HostShell {
  readonly name: string;
  /** Where its programs are. */
  readonly path: string;
}

/** `sh`, and bash and busybox where they are installed. */
export function hostShells(): HostShell[] {
  const shells = [{ name: "sh", path: process.env.PATH! }];
  if (hasCommand("bash")) shells.push({ name: "bash", path: process.env.PATH! });
  if (hasCommand("busybox")) shells.push({ name: "busybox", path: busyboxPath() });
  return shells;
}

/** Nothing but busybox: its shell finds no other stat. */
function busyboxPath(): string {
  const dir = mkdtempSync(join(tmpdir(), "busybox-"));
  execFileSync("busybox", ["--install", "-s", dir]);
  // A test may run them as somebody else.
  chmodSync(dir, 0o755);
  onProcessEnd(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
