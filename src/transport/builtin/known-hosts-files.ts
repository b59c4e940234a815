import { open, stat, type FileHandle } from "node:fs/promises";
import { asFssyncError, FssyncError } from "../../model/errors.ts";
import { KnownHosts } from "./known-hosts.ts";

/** Tells two states of a file apart. */
interface Stamp {
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

/** Known hosts as they lie on the disk, read again only when a file has changed: ssh and people write there too. */
export class KnownHostsFiles {
  readonly #files: readonly string[];
  #stamps: (Stamp | undefined)[] = [];
  #known = new KnownHosts();
  #running: Promise<KnownHosts> | undefined;

  constructor(files: readonly string[]) {
    this.#files = files;
  }

  /** What the files hold now. One that is missing holds nothing. Throws HostKeyUnknown for one that cannot be read. */
  current(): Promise<KnownHosts> {
    this.#running ??= this.#read().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** As `current`, and not what a reading found that began before. */
  async fresh(): Promise<KnownHosts> {
    await this.#running;
    return this.current();
  }

  /**
   * Appends a line to the first of the files. `known` is what they held a moment ago; when nobody else has written
   * since, it takes the line up, so that thousands of new hosts do not each have the file read again. Throws
   * ControllerNoSpace: a key that is not remembered would be believed anew each time.
   */
  async append(line: string, known: KnownHosts): Promise<void> {
    const [file = ""] = this.#files;
    try {
      await using handle = await open(file, "a+", 0o600);
      const before = await stampOf(handle);
      const text = (await endsInLine(handle, before.size)) ? `${line}\n` : `\n${line}\n`;
      await handle.appendFile(text);
      const after = await stampOf(handle);
      const ours = known === this.#known && (isSame(before, this.#stamps[0]) || before.size === 0n);
      if (!ours || after.size !== before.size + BigInt(text.length)) return;
      known.add(line);
      this.#stamps[0] = after;
    } catch (error) {
      const { reason, message } = asFssyncError(error, "HostKeyUnknown");
      throw new FssyncError(reason, `the host's key cannot be written to ${file}: ${message}`, { cause: error });
    }
  }

  async #read(): Promise<KnownHosts> {
    const stamps = await Promise.all(this.#files.map(stampAt));
    if (this.#stamps.length > 0 && stamps.every((stamp, index) => isSame(stamp, this.#stamps[index])))
      return this.#known;
    const texts = await Promise.all(this.#files.map(textAt));
    this.#known = await KnownHosts.of(...texts);
    this.#stamps = stamps;
    return this.#known;
  }
}

async function stampAt(file: string): Promise<Stamp | undefined> {
  return stat(file, { bigint: true }).catch((error: unknown) => unlessMissing(file, error));
}

function stampOf(handle: FileHandle): Promise<Stamp> {
  return handle.stat({ bigint: true });
}

function isSame(one: Stamp | undefined, other: Stamp | undefined): boolean {
  return one?.ino === other?.ino && one?.size === other?.size && one?.mtimeNs === other?.mtimeNs;
}

/** Bytes beyond ASCII are in comments only; one character each keeps them from becoming others. */
async function textAt(file: string): Promise<string> {
  const handle = await open(file, "r").catch((error: unknown) => unlessMissing(file, error));
  if (!handle) return "";
  await using _ = handle;
  return await handle.readFile("latin1");
}

function unlessMissing(file: string, error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return undefined;
  const { reason, message } = asFssyncError(error, "HostKeyUnknown");
  throw new FssyncError(reason, `${file} cannot be read: ${message}`, { cause: error });
}

/** A line that ssh or a full disk left unfinished is not gone on with. */
async function endsInLine(handle: FileHandle, size: bigint): Promise<boolean> {
  if (size === 0n) return true;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, Number(size - 1n));
  return buffer[0] === 0x0a;
}
