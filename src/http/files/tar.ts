import type { FileEntry } from "../../model/manifest.ts";
import { encodePath } from "../../model/path.ts";

/** Bytes. */
const BLOCK = 512;
const NAME_MAX = 100;
/** Of owner and group, with the NUL that some readers want after it. */
export const ACCOUNT_MAX = 31;
/** 1 January 1980: the same for the same files, and late enough for every reader. */
const MTIME = 315_532_800;
const MAGIC = "ustar  \0";

/**
 * The header of one file or symlink, in GNU tar's format: names are bytes, and long ones come before, in entries of
 * their own. The names of pax headers are UTF-8 and nothing else; not every busybox reads them either.
 */
export function tarHeader(file: FileEntry, size: number, target?: Buffer): Buffer {
  const name = encodePath(file.path);
  const parts: Buffer[] = [];
  if (target && target.length > NAME_MAX) parts.push(longName("K", target));
  if (name.length > NAME_MAX) parts.push(longName("L", name));
  const [owner, group] = [account(file.owner), account(file.group)];
  const fields = { mode: file.mode, uid: owner.id, gid: group.id, uname: owner.name, gname: group.name };
  parts.push(header({ name, size: target ? 0 : size, type: target ? "2" : "0", ...fields, target }));
  return Buffer.concat(parts);
}

/** Zeros from the end of a content of so many bytes to the end of its block. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** Two blocks of zeros. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK);
}

interface HeaderFields {
  readonly name: Buffer;
  readonly size: number;
  readonly type: "0" | "2" | "K" | "L";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly uname: string;
  readonly gname: string;
  readonly target?: Buffer | undefined;
}

function header({ name, size, type, mode, uid, gid, uname, gname, target }: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  name.copy(block, 0, 0, NAME_MAX);
  number(block, mode, 100, 8);
  number(block, uid, 108, 8);
  number(block, gid, 116, 8);
  number(block, size, 124, 12);
  number(block, type === "K" || type === "L" ? 0 : MTIME, 136, 12);
  // The checksum counts itself as spaces.
  block.fill(" ", 148, 156);
  block.write(type, 156, "latin1");
  target?.copy(block, 157, 0, NAME_MAX);
  block.write(MAGIC, 257, "latin1");
  block.write(uname, 265, ACCOUNT_MAX, "latin1");
  block.write(gname, 297, ACCOUNT_MAX, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** The entry before the one whose name (L) or target (K) it holds. */
function longName(type: "K" | "L", text: Buffer): Buffer {
  const size = text.length + 1;
  const fields = { mode: 0, uid: 0, gid: 0, uname: "", gname: "" };
  const name = Buffer.from("././@LongLink");
  return Buffer.concat([header({ name, size, type, ...fields }), text, Buffer.alloc(1), padding(size)]);
}

/**
 * A name is looked up where the archive is extracted; for a name that is not known there the number counts, and it is
 * root's: what belongs to somebody unknown is not for others. A number is a number.
 */
function account(text: string): { id: number; name: string } {
  return /^\d+$/.test(text) ? { id: Number(text), name: "" } : { id: 0, name: text };
}

/** Octal digits and a NUL; what needs more digits than there is room for is written in base 256. */
function number(block: Buffer, value: number, at: number, width: number): void {
  const digits = value.toString(8);
  if (digits.length < width) {
    block.write(`${digits.padStart(width - 1, "0")}\0`, at, "latin1");
  } else {
    block.writeUIntBE(value, at + width - 6, 6);
    block[at] = 0x80;
  }
}
