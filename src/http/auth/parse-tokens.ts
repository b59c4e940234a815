import { createHash } from "node:crypto";
import { FssyncError } from "../../model/errors.ts";
import type { Caller } from "../../ports/access.ts";

export const ROLES = ["read", "pull", "operate"] as const;
export type Role = (typeof ROLES)[number];

/** Somebody whom a Secret names beside a token. */
export interface TokenCaller extends Caller {
  readonly role: Role;
}

const SHORTEST = 16;
const NAME = /^[\w.@:-]{1,64}$/;
/** What a header can carry; no space, which would be a name beside a token. */
const PRINTABLE = /^[\x21-\x7e]+$/;

/**
 * The callers of a Secret whose keys are roles and whose lines are `NAME TOKEN` or `TOKEN`, by the digests of their
 * tokens. Throws SecretInvalid that names secret, key and line, and never a token.
 */
export function parseTokens(secret: string, keys: ReadonlyMap<string, string>): ReadonlyMap<string, TokenCaller> {
  const callers = new Map<string, TokenCaller>();
  const places = new Map<string, string>();
  for (const [key, text] of keys) {
    const role = ROLES.find((one) => one === key);
    if (!role) throw invalid(`Secret ${secret} has a key ${key}: expected ${ROLES.join(", ")}`);
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      const place = `Secret ${secret}, key ${key}, line ${index + 1}`;
      const found = parseLine(line, role, place);
      if (!found) continue;
      const digest = digestOf(found.token);
      const before = places.get(digest);
      if (before !== undefined) throw invalid(`${place}: the same token as in ${before}; each token is for one name`);
      places.set(digest, place);
      callers.set(digest, { name: found.name, role });
    }
  }
  if (callers.size === 0) throw invalid(`Secret ${secret} holds no tokens`);
  return callers;
}

/** By which tokens are compared and remembered. */
export function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}

function parseLine(line: string, role: Role, place: string): { name: string; token: string } | undefined {
  const words = line.trim().split(/\s+/);
  if (words[0] === "" || words[0]!.startsWith("#")) return undefined;
  if (words.length > 2) throw invalid(`${place}: expected NAME TOKEN or TOKEN, and found ${words.length} words`);
  const token = words.at(-1)!;
  const name = words.length === 2 ? words[0]! : role;
  if (!NAME.test(name)) throw invalid(`${place}: the name may hold letters, digits and ._@:-, up to 64 of them`);
  if (token.length < SHORTEST)
    throw invalid(`${place}: the token has ${token.length} characters; ${SHORTEST} are the least`);
  if (!PRINTABLE.test(token)) throw invalid(`${place}: the token holds characters that no header can carry`);
  return { name, token };
}

function invalid(message: string): FssyncError {
  return new FssyncError("SecretInvalid", message);
}
