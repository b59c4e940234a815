import type { Host } from "../model/host.ts";
import { encodePath } from "../model/path.ts";
import { Lru } from "../model/lru.ts";
import type { ProcessResult } from "./process.ts";
import type { RsyncRun, Session } from "./ssh-client.ts";

/** Hosts whose shell is remembered. */
const MOST_HOSTS = 10_000;

const OTHER_SHELL = "fssync-other-shell";

/**
 * In front of all that goes to a login's shell. A csh knows no line end within quotes: it would take each line of a script
 * for a command of its own, and run it. fish refuses this line, and with it the whole.
 */
const ONLY_POSIX = `test $?cwd = 1 && exec sh -c "echo ${OTHER_SHELL} >&2; exit 96"\n`;

/** Logins whose shell is no POSIX shell are known by their first answer; from then on they are asked so that any shell understands. */
export class LoginShells {
  readonly #others = new Lru<string, true>(MOST_HOSTS);

  session({ key }: Host, session: Session): Session {
    const asked = async (posix: () => Promise<ProcessResult>, any: () => Promise<ProcessResult>) => {
      if (this.#others.get(key)) return any();
      const result = await posix();
      if (!isOther(result)) return result;
      this.#others.set(key, true);
      return any();
    };
    return {
      waits: session.waits,
      command: (text, options) =>
        asked(
          () => session.command(ONLY_POSIX + text, options),
          () => session.command(forAnyShell(text), options),
        ),
      rsync: (run) =>
        asked(
          () => session.rsync(withPath(run, ONLY_POSIX + run.rsyncPath)),
          // The words that rsync adds come behind it.
          () => session.rsync(withPath(run, forAnyShell(`${run.rsyncPath} "$@"`))),
        ),
    };
  }
}

/** What a POSIX shell does with this command, as one line that csh and fish hand on to sh as they got it. */
export function forAnyShell(command: string): string {
  const plain = /[^ "#-&(-[\]-~]/g;
  const bytes = encodePath(command).toString("latin1");
  const escaped = bytes.replace(plain, (byte) => `\\0${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return `exec sh -c 'eval "$(printf %b "$0")"' '${escaped}'`;
}

function withPath(run: RsyncRun, rsyncPath: string): RsyncRun {
  return { ...run, rsyncPath };
}

/** fish may end with 0 then. A program that its configuration does not find is no reason to run a command twice. */
const IS_OTHER = new RegExp(`^(${OTHER_SHELL}$|fish: (?!Unknown command))`, "m");

function isOther({ exitCode, stderr }: ProcessResult): boolean {
  return exitCode !== null && IS_OTHER.test(stderr);
}
