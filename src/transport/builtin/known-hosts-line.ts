import { hash } from "node:crypto";
import { parsePublicKey, type PublicKey } from "./public-key.ts";

export type Marker = "" | "@revoked" | "@cert-authority";

const HASH_MAGIC = "|1|";
/** Bytes of a salt: those of a SHA-1. */
const SALT_LENGTH = 20;
/** Bytes that SHA-1 takes at a time. */
const SHA1_BLOCK = 64;
/** Characters of the longest marker that OpenSSH looks at. */
const MARKER_LENGTH = 31;

/** One line of known_hosts that OpenSSH would not skip at first sight. Its names and its key are judged when asked for. */
export class KnownHostsLine {
  readonly marker: Marker;
  /** The first word: names and patterns with commas between, or one hash. */
  readonly names: string;
  /** What the line calls the key's type. */
  readonly type: string;
  /** What stands where the key should. */
  readonly base64: string;
  #key: PublicKey | undefined | null = null;

  private constructor(marker: Marker, names: string, type: string, base64: string) {
    this.marker = marker;
    this.names = names;
    this.type = type;
    this.base64 = base64;
  }

  /** Undefined for a comment and for what OpenSSH skips. */
  static parse(text: string): KnownHostsLine | undefined {
    const marked = withoutMarker(text.replace(/^[ \t]+|\r$/g, ""));
    if (!marked) return undefined;
    const words = /^([^ \t]+)[ \t]+([^ \t#][^ \t]*)[ \t]+([^ \t]+)/.exec(marked.rest);
    const [, names, type, base64] = words ?? [];
    if (names === undefined || type === undefined || base64 === undefined) return undefined;
    return new KnownHostsLine(marked.marker, names, type, base64);
  }

  get hashed(): boolean {
    return this.names.startsWith("|");
  }

  /** Whether only a look at every pattern tells whom it names. */
  get patterned(): boolean {
    return /[*?!]/.test(this.names);
  }

  /** Undefined when it is none. */
  get key(): PublicKey | undefined {
    if (this.#key === null) this.#key = parsePublicKey(this.type, this.base64);
    return this.#key;
  }

  /** `name` in lower case. */
  matches(name: string): boolean {
    return this.hashed ? this.names === hashLike(this.names, name) : matchesList(this.names, name);
  }
}

/** Also where the marker ends as OpenSSH sees it: at the first space of the line, at a tab only when there is no space. */
function withoutMarker(text: string): { marker: Marker; rest: string } | undefined {
  if (text === "" || text.startsWith("#")) return undefined;
  if (!text.startsWith("@")) return { marker: "", rest: text };
  const space = text.indexOf(" ");
  const end = space === -1 ? text.indexOf("\t") : space;
  const marker = text.slice(0, end);
  const rest = text.slice(end).replace(/^[ \t]+/, "");
  if (end === -1 || end > MARKER_LENGTH || rest.startsWith("@")) return undefined;
  return marker === "@revoked" || marker === "@cert-authority" ? { marker, rest } : undefined;
}

/** The name, hashed with the salt of `hashed`; undefined when that is no hash. */
function hashLike(hashed: string, name: string): string | undefined {
  const end = hashed.indexOf("|", HASH_MAGIC.length);
  if (!hashed.startsWith(HASH_MAGIC) || end === -1) return undefined;
  const salt = Buffer.from(hashed.slice(HASH_MAGIC.length, end), "base64");
  if (salt.length !== SALT_LENGTH) return undefined;
  return `${HASH_MAGIC}${salt.toString("base64")}|${hmac(salt, name)}`;
}

/**
 * HMAC-SHA1 in base64, by its definition: five to ten times as quick as with `createHmac`, which is made for long
 * texts. A file has tens of thousands of lines, each with a salt of its own.
 */
function hmac(key: Buffer, text: string): string {
  const inner = Buffer.alloc(SHA1_BLOCK + Buffer.byteLength(text), 0x36);
  const outer = Buffer.alloc(SHA1_BLOCK + SALT_LENGTH, 0x5c);
  for (const [index, byte] of key.entries()) {
    inner[index] = byte ^ 0x36;
    outer[index] = byte ^ 0x5c;
  }
  inner.write(text, SHA1_BLOCK);
  outer.set(hash("sha1", inner, "buffer"), SHA1_BLOCK);
  return hash("sha1", outer, "base64");
}

/** Whether one of the patterns matches, and none that begins with `!`. */
function matchesList(list: string, name: string): boolean {
  let found = false;
  for (const each of list.toLowerCase().split(",")) {
    const negated = each.startsWith("!");
    if (!matchesPattern(negated ? each.slice(1) : each, name)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

/** `*` for any characters, `?` for one. */
function matchesPattern(pattern: string, name: string): boolean {
  let at = 0;
  let star = -1;
  let starAt = 0;
  let index = 0;
  while (at < name.length) {
    const expected = pattern[index];
    if (expected === "*") {
      star = index++;
      starAt = at;
    } else if (expected === "?" || expected === name[at]) {
      index++;
      at++;
    } else if (star !== -1) {
      index = star + 1;
      at = ++starAt;
    } else return false;
  }
  while (pattern[index] === "*") index++;
  return index === pattern.length;
}
