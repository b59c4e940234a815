import { createHash } from "node:crypto";
import { FssyncError } from "../model/errors.ts";
import type { FileFact } from "../ports/transport.ts";
import { INSPECTION_DONE, type Inspection } from "./inspection.ts";
import { escapeControls } from "./process.ts";

const STATUS = /([0-9a-f]+):(\d+):(\d+):(\d+):([^\n:]*):([^\n:]*):/y;
const CHECKSUM = /(\\?)([0-9a-f]{64}) [ *]/y;

const TYPE_BITS = 0o170000;
const PLAIN_FILE = 0o100000;
const SYMLINK = 0o120000;

/** What `stat` writes for a number without a name. */
const NO_NAME = "UNKNOWN";

/**
 * The facts of what was asked for, in its order, from what the command printed, one character for each byte. Throws
 * ProtocolError. Names may hold line ends, so the answer is not cut into lines: programs speak of the paths
 * in the order they were given, and what comes next is one of those.
 */
export function parseInspection(
  answer: string,
  { names, maxSizes }: Pick<Inspection, "names" | "maxSizes">,
): FileFact[] {
  if (!answer.endsWith(INSPECTION_DONE)) throw misunderstood("ends too early");
  const fields = answer.slice(0, -INSPECTION_DONE.length).split("\0");
  if (fields.pop() !== "") throw misunderstood("has more to say than was asked");
  const statuses = new Walk(names, STATUS);
  const checksums = new Walk(names, CHECKSUM);
  const targets = new Map<string, string>();
  const unseen = new Set<string>();
  for (let at = 0; at < fields.length; at++) {
    statuses.read(fields[at++] ?? "");
    checksums.read(fields[at++] ?? "");
    for (; fields[at]; at += 2) targets.set(fields[at]!, fields[at + 1] ?? "");
    for (at++; fields[at]; at++) unseen.add(fields[at]!);
  }
  return names.map((name, index) => {
    const status = statuses.found.get(index);
    if (!status) return { kind: unseen.has(name) ? "unseen" : "missing" };
    const isTooLarge = Number(status[2]) > maxSizes[index]!;
    return fact(status, isTooLarge ? "" : checksums.found.get(index)?.[2], targets.get(name));
  });
}

function fact([, bits, , uid, gid, owner, group]: RegExpExecArray, checksum?: string, target?: string): FileFact {
  const mode = Number.parseInt(bits!, 16);
  const attributes = {
    owner: accountName(owner!, uid!),
    group: accountName(group!, gid!),
    uid: Number(uid),
    gid: Number(gid),
  };
  if ((mode & TYPE_BITS) === PLAIN_FILE)
    return { kind: "file", mode: mode & 0o7777, checksum: checksum ?? null, ...attributes };
  if ((mode & TYPE_BITS) !== SYMLINK) return { kind: "other" };
  // readlink says the target and a line end, and nothing when the symlink went away meanwhile.
  return target?.endsWith("\n")
    ? { kind: "symlink", checksum: sha256(target.slice(0, -1)), ...attributes }
    : { kind: "missing" };
}

function accountName(name: string, number: string): string {
  return name === NO_NAME || name === "" ? number : escapeControls(Buffer.from(name, "latin1").toString("utf8"));
}

function sha256(bytes: string): string {
  return createHash("sha256").update(bytes, "latin1").digest("hex");
}

/** Goes along the names with what a program says of some of them, in their order: a head, the name, a line end. */
class Walk {
  /** The heads, by the index of the name. */
  readonly found = new Map<number, RegExpExecArray>();
  readonly #names: readonly string[];
  readonly #head: RegExp;
  #next = 0;

  constructor(names: readonly string[], head: RegExp) {
    this.#names = names;
    this.#head = head;
  }

  read(text: string): void {
    for (let at = 0; at < text.length;) {
      const head = this.#headAt(text, at);
      if (!head) throw misunderstood(`has ${JSON.stringify(text.slice(at, at + 40))}`);
      at = head[1] === "\\" ? this.#escaped(text, at + head[0].length) : this.#plain(text, at + head[0].length);
      this.found.set(this.#next++, head);
    }
  }

  #plain(text: string, at: number): number {
    for (; this.#next < this.#names.length; this.#next++) {
      const name = this.#names[this.#next]!;
      const end = at + name.length + 1;
      // A name may begin as another one with a line end in it.
      if (text.startsWith(name, at) && text[end - 1] === "\n" && (end === text.length || this.#headAt(text, end)))
        return end;
    }
    throw misunderstood("speaks of a file that it was not asked for");
  }

  /** GNU's sha256sum writes `\\` and `\n` for what is no good on a line, and then a backslash in front of the line. */
  #escaped(text: string, at: number): number {
    const end = text.indexOf("\n", at);
    const name = text.slice(at, end).replace(/\\(.)/g, (_, escape: string) => ESCAPES[escape] ?? escape);
    while (this.#next < this.#names.length && this.#names[this.#next] !== name) this.#next++;
    if (end < 0 || this.#next === this.#names.length) throw misunderstood("speaks of a file that it was not asked for");
    return end + 1;
  }

  #headAt(text: string, at: number): RegExpExecArray | null {
    this.#head.lastIndex = at;
    return this.#head.exec(text);
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r" };

function misunderstood(what: string): FssyncError {
  return new FssyncError("ProtocolError", `the host's answer about its files ${what}`);
}
