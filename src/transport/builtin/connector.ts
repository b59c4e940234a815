import { FssyncError } from "../../model/errors.ts";
import { quote } from "../rsync-args.ts";

/** What rsync is told as host; who that is knows the other end of the pipes. */
export const HOST = "host";

/**
 * rsync starts this in the place of ssh: what it says goes out through file descriptor 3, what comes in through 4 is for
 * it; nothing of the host is known here. First on 3, up to a NUL, is the command for the host as ssh would join it. It
 * waits for the first line on 4, since nobody may be listening before. A shell gives /dev/null to what it starts in the
 * background, hence 5. It is the second `cat` that rsync waits for, as it waits for ssh: it ends when the host is done.
 */
const SCRIPT = [
  "shift",
  "read -r _ <&4 || exit 255",
  "exec 5<&0",
  `{ printf "%s\\0" "$*" && exec cat <&5 4<&- 5<&-; } >&3 2>/dev/null 3>&- &`,
  "exec cat <&4 2>/dev/null 3>&- 4<&- 5<&-",
].join("\n");

/** For rsync's `-e`, which splits at spaces that are not within quotes. */
export const CONNECTOR = `sh -c ${quote(SCRIPT)} sh`;

/** The line that the connector waits for. */
export const BEGIN = "\n";

/** Bytes: a command may have a whole script in it. */
const COMMAND_LIMIT = 1024 * 1024;

/** Takes the command from what the connector says, which comes in pieces. */
export class CommandReader {
  #read: Buffer = Buffer.alloc(0);
  readonly #rsyncPath: Buffer;

  constructor(rsyncPath: string) {
    this.#rsyncPath = Buffer.from(`${rsyncPath} --server `);
  }

  /**
   * The command once it is whole, and what rsync says after it. Throws when it is not the one that rsync was told to run
   * there, with nothing but flags behind it: paths and names go through the pipe.
   */
  take(chunk: Buffer): { command: Buffer; rest: Buffer } | undefined {
    this.#read = Buffer.concat([this.#read, chunk]);
    const at = this.#read.indexOf(0);
    const command = this.#read.subarray(0, at < 0 ? undefined : at);
    if (command.length > COMMAND_LIMIT || (at >= 0 && !this.#isExpected(command)))
      throw new FssyncError("Internal", "rsync asked for another command on the host than it was told to run");
    return at < 0 ? undefined : { command, rest: this.#read.subarray(at + 1) };
  }

  #isExpected(command: Buffer): boolean {
    const { length } = this.#rsyncPath;
    const flags = command.toString("latin1", length);
    return command.subarray(0, length).equals(this.#rsyncPath) && /^-[A-Za-z0-9.]+$/.test(flags);
  }
}
