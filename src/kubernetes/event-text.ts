import { createHash, randomBytes } from "node:crypto";

/** The API server's own limit for the message of an event, in bytes. */
const LONGEST_MESSAGE = 1024;
const LONGEST_NAME = 253;
const ELLIPSIS = "…";

/** One line that a terminal can show, of at most 1,024 bytes of UTF-8, never cut inside a character. */
export function eventMessage(text: string): string {
  // oxlint-disable-next-line no-control-regex
  const escaped = text.toWellFormed().replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, escapedCharacter);
  if (Buffer.byteLength(escaped) <= LONGEST_MESSAGE) return escaped;
  const space = LONGEST_MESSAGE - Buffer.byteLength(ELLIPSIS);
  const { read } = new TextEncoder().encodeInto(escaped, new Uint8Array(space));
  return `${escaped.slice(0, read)}${ELLIPSIS}`;
}

/** A name that no other event has, legal however long the object's is. */
export function eventName(object: string): string {
  const suffix = `.${randomBytes(8).toString("hex")}`;
  return `${shortened(object, LONGEST_NAME - suffix.length)}${suffix}`;
}

/** Two long names that begin alike stay different to the eye. */
function shortened(name: string, length: number): string {
  if (name.length <= length) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 8);
  return `${name.slice(0, length - hash.length - 1).replace(/[-.]+$/, "")}-${hash}`;
}

function escapedCharacter(character: string): string {
  const code = character.charCodeAt(0);
  return code > 0xff ? `\\u${code.toString(16)}` : `\\x${code.toString(16).padStart(2, "0")}`;
}
