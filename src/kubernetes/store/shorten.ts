/** Bytes of a value as JSON the way the API server stores it: Go writes <, > and & as six bytes each. */
export function jsonBytes(value: unknown): number {
  const text = JSON.stringify(value);
  let bytes = Buffer.byteLength(text);
  for (const [character] of text.matchAll(ESCAPED)) bytes += 6 - Buffer.byteLength(character);
  return bytes;
}

/** Bytes of a text inside of such JSON. */
export function storedBytes(text: string): number {
  return jsonBytes(text) - 2;
}

const ESCAPED = /[<>&\u2028\u2029]/g;
const MARK = "…";

/** The text, or its beginning with a mark, in at most so many stored bytes; never half a character. */
export function shortened(text: string, bytes: number): string {
  if (storedBytes(text) <= bytes) return text;
  let left = bytes - storedBytes(MARK);
  if (left <= 0) return "";
  let end = 0;
  for (const character of text) {
    left -= storedBytes(character);
    if (left < 0) break;
    end += character.length;
  }
  return text.slice(0, end) + MARK;
}

/**
 * The most bytes that each of some texts may take so that all of them fit into `budget`: short ones
 * leave their share to long ones.
 */
export function fairShare(sizes: readonly number[], budget: number): number {
  const sorted = [...sizes].sort((a, b) => a - b);
  let left = budget;
  for (const [index, size] of sorted.entries()) {
    const share = Math.floor(left / (sorted.length - index));
    if (size > share) return Math.max(0, share);
    left -= size;
  }
  return sorted.at(-1) ?? 0;
}
