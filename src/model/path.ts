/**
 * Paths are bytes on Linux and in Git. Inside fssync they are strings: UTF-8 decoded, each byte
 * that is not valid UTF-8 kept as a lone surrogate U+DC80..U+DCFF (the scheme of PEP 383), so that
 * every path survives the way from Git to the host unchanged and ordinary names stay readable.
 */
const REPLACEMENT = "\uFFFD";
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function decodePath(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  if (!text.includes(REPLACEMENT)) return text;
  let decoded = "";
  for (let at = 0; at < bytes.length;) {
    const length = validSequence(bytes, at);
    decoded += length > 0 ? bytes.toString("utf8", at, at + length) : String.fromCharCode(0xdc00 + bytes[at]!);
    at += Math.max(length, 1);
  }
  return decoded;
}

export function encodePath(path: string): Buffer {
  if (path.isWellFormed()) return Buffer.from(path, "utf8");
  const parts: Buffer[] = [];
  for (const character of path) {
    const code = character.charCodeAt(0);
    const escaped = character.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    parts.push(escaped ? Buffer.of(code - 0xdc00) : Buffer.from(character, "utf8"));
  }
  return Buffer.concat(parts);
}

/** For people: control characters and undecodable bytes are shown as `\xNN`. */
export function displayPath(path: string): string {
  // oxlint-disable-next-line no-control-regex
  return path.replace(/[\u0000-\u001f\u007f-\u009f\udc80-\udcff\\]/gu, (character) => {
    if (character === "\\") return "\\\\";
    return `\\x${(character.charCodeAt(0) & 0xff).toString(16).padStart(2, "0")}`;
  });
}

/** Every folder above `path`, nearest first, without the root: `a/b/c` gives `a/b`, `a`. */
export function parentFolders(path: string): string[] {
  const parents: string[] = [];
  for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) parents.push(path.slice(0, at));
  return parents;
}

/** By code unit: the same everywhere, whatever the locale. */
export function comparePaths(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function validSequence(bytes: Buffer, at: number): number {
  const first = bytes[at]!;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  try {
    strict.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}
