import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import type { Host } from "../../../src/model/host.ts";
import { forAnyShell, LoginShells } from "../../../src/transport/login-shell.ts";
import { NOTHING, type ProcessResult } from "../../../src/transport/process.ts";
import type { RsyncRun, Session } from "../../../src/transport/ssh-client.ts";
import { hasCommand } from "../../support/fleet/processes.ts";

const shells = ["sh", "bash", "tcsh", "fish", "zsh", "mksh"].filter(hasCommand);

/** Whatever some shell takes for something else. */
const ODD = String.raw`printf '%s|' 'it'\''s !! $HOME \t \\ %s' "a	b" \ "$((1 + 1))" '*' '~' '{a,b}' 'café'
printf '%s' "$#" >&2
exit 3`;

const host: Host = { key: "10.0.0.1:22", address: "10.0.0.1", port: 22, user: "deploy", root: "/" };

describe.each(shells)("%s as a login's shell", (shell) => {
  test("does what sh does with a command for any shell", () => {
    const { status, stdout } = spawnSync(shell, ["-c", forAnyShell(ODD)]);
    const expected = spawnSync("sh", ["-c", ODD]);
    expect([status, stdout.toString("latin1")]).toEqual([3, expected.stdout.toString("latin1")]);
  });

  test("gives it the words that rsync adds", () => {
    const { stdout } = spawnSync(shell, [
      "-c",
      `${forAnyShell(`umask 022; exec printf '%s|' "$@"`)} --server -s . 'a b'`,
    ]);
    expect(stdout.toString()).toBe("--server|-s|.|a b|");
  });

  test("runs no line of a script that it does not understand, and that is known from then on", async () => {
    const asked: string[] = [];
    const run = async (command: string): Promise<ProcessResult> => {
      asked.push(command);
      const { status, stdout, stderr } = spawnSync(shell, ["-c", command]);
      return { ...NOTHING, exitCode: status, stdout: String(stdout), stderr: String(stderr) };
    };
    const session: Session = { waits: true, command: run, rsync: ({ rsyncPath }) => run(rsyncPath) };
    const logins = new LoginShells();
    const script = "exec sh -c 'echo one\necho two\nexit 5' sh";
    const rsync: RsyncRun = { options: [], rsyncPath: "exec printf three", source: "/", destination: "/" };
    const tries = ["tcsh", "fish"].includes(shell) ? 2 : 1;
    expect(await logins.session(host, session).command(script)).toMatchObject({ stdout: "one\ntwo\n", exitCode: 5 });
    expect(asked).toHaveLength(tries);
    expect(await logins.session(host, session).rsync(rsync)).toMatchObject({ stdout: "three" });
    expect(asked).toHaveLength(tries + 1);
    expect(await new LoginShells().session(host, session).rsync(rsync)).toMatchObject({ stdout: "three" });
    expect(asked).toHaveLength(2 * tries + 1);
  });
});

test("what was run is not run again, whatever the shell said of something else", async () => {
  let runs = 0;
  const command = (): Promise<ProcessResult> => {
    runs += 1;
    return Promise.resolve({ ...NOTHING, exitCode: 0, stderr: "fish: Unknown command: neofetch\n" });
  };
  const logins = new LoginShells();
  await logins.session(host, { waits: true, command, rsync: command }).command("true");
  expect(runs).toBe(1);
});
