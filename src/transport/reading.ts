import { FssyncError } from "../model/errors.ts";
import { enter, needs, script } from "./host-shell.ts";
import { nulList } from "./removal.ts";
import { quote } from "./rsync-args.ts";

const DONE = "fssync-read";

/** od writes a space and two digits for a byte, and a line end for sixteen. */
const DIGITS_PER_BYTE = 4;

/**
 * Of each path: its first bytes as numbers, a full stop when they could be read, NUL. `head -c` and `base64` are not everywhere.
 * A file that others may not read, by now, is not shown: a person will see it.
 */
const EACH = `
n=$1
shift
for p do
if [ -f "$p" ] && [ ! -L "$p" ]; then
case $(stat -c %A "$p" 2>/dev/null) in -??????r*) od -An -v -tx1 -N "$n" "$p" 2>/dev/null && printf . ;; esac
fi
printf '\\0'
done`;

/** The command that says the content of the files on its standard input, each up to one byte more than `limit`. */
export function readingCommand(root: string, sudo: boolean, limit: number): string {
  const done = `printf ${DONE}`;
  const read = `xargs -0 sh -c ${quote(EACH)} sh ${limit + 1} && ${done}`;
  return script([needs("stat", "od", "xargs"), enter(root, done), read], sudo);
}

export function readingInput(paths: readonly string[]): Buffer {
  return nulList(paths.map((path) => `./${path}`));
}

/** Bytes that the answer has at most. */
export function readingLimit(count: number, limit: number): number {
  return 64 * 1024 + count * (DIGITS_PER_BYTE * (limit + 1) + 64);
}

/** In the order of the `count` paths. Throws ProtocolError. */
export function parseReading(answer: string, count: number, limit: number): (Buffer | null)[] {
  // There is no such root.
  if (answer === DONE) return Array.from({ length: count }, () => null);
  const fields = answer.split("\0");
  if (fields.pop() !== DONE || fields.length !== count || !fields.every((field) => /^[0-9a-f\s]*\.?$/.test(field)))
    throw new FssyncError("ProtocolError", "the host's answer with the content of files is not whole");
  return fields.map((field) => {
    if (!field.endsWith(".")) return null;
    const content = Buffer.from(field.replace(/[\s.]/g, ""), "hex");
    return content.length > limit ? null : content;
  });
}
