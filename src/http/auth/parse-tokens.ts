import { createHash } from "node:crypto";
import { asFssyncError, FssyncError } from "../../model/errors.ts";
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

/** What a Secret says of tokens. */
export interface Tokens {
  /** By the digests of their tokens. */
  readonly callers: ReadonlyMap<string, TokenCaller>;
  /** What is wrong with the other lines, by secret, key and line, and never by the token. */
  readonly faults: readonly string[];
}

/** The callers of a Secret whose keys are roles and whose lines are `NAME TOKEN` or `TOKEN`. */
export function parseTokens(secret: string, keys: ReadonlyMap<string, string>): Tokens {
  const callers = new Map<string, TokenCaller>();
  const places = new Map<string, string>();
  const faults: string[] = [];
  for (const [key, text] of keys) {
    const role = ROLES.find((one) => one === key);
    if (!role) faults.push(`Secret ${secret} has a key ${key}: expected ${ROLES.join(", ")}`);
    else for (const [index, line] of text.split(/\r?\n/).entries()) take(line, role, index + 1);
  }
  return { callers, faults };

  function take(line: string, role: Role, number: number): void {
    const place = `Secret ${secret}, key ${role}, line ${number}`;
    try {
      const found = parseLine(line, role, place);
      if (!found) return;
      const digest = digestOf(found.token);
      refuseTwice(place, places.get(digest));
      places.set(digest, place);
      callers.set(digest, { name: found.name, role });
    } catch (error) {
      faults.push(asFssyncError(error).message);
    }
  }
}

/** For the start, where nothing held before. Throws SecretInvalid when a line is wrong, or there is no token. */
export function parseFirstTokens(secret: string, keys: ReadonlyMap<string, string>): Tokens["callers"] {
  const { callers, faults } = parseTokens(secret, keys);
  if (faults.length > 0) throw invalid(faults[0]!);
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

function refuseTwice(place: string, before: string | undefined): void {
  if (before !== undefined) throw invalid(`${place}: the same token as in ${before}; each token is for one name`);
}

function invalid(message: string): FssyncError {
  return new FssyncError("SecretInvalid", message);
}
