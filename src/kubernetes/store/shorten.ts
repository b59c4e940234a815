/** Bytes of a text inside of JSON as the API server stores it: Go writes <, > and & as six bytes each. */
export function storedBytes(text: string): number {
  let bytes = Buffer.byteLength(JSON.stringify(text)) - 2;
  for (const character of text) if (ESCAPED.has(character)) bytes += 6 - Buffer.byteLength(character);
  return bytes;
}

const ESCAPED = new Set(["<", ">", "&", "\u2028", "\u2029"]);
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
