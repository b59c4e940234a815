import { FssyncError, asFssyncError } from "../model/errors.ts";
import type { Secrets } from "../ports/secrets.ts";

/** What a header may hold; said here, since the HTTP client's own refusal might quote it. */
const SENDABLE = /^[\u0020-\u007e\u0080-\u00ff]+$/;

/**
 * The Authorization header that a Secret gives: `token`, or `username` and `password`; undefined when
 * there is no Secret to use, SecretInvalid when it gives none.
 */
export async function credentials(
  name: string | undefined,
  secrets: Secrets | undefined,
): Promise<string | undefined | FssyncError> {
  if (name === undefined) return undefined;
  if (secrets === undefined) return invalid(name, "there are no Secrets to take it from");
  try {
    return header(name, await secrets.read(name));
  } catch (error) {
    return asFssyncError(error, "SecretInvalid");
  }
}

function header(name: string, secret: ReadonlyMap<string, string>): string | FssyncError {
  const token = secret.get("token");
  const username = secret.get("username");
  const password = secret.get("password");
  if (token !== undefined && SENDABLE.test(token)) return `Bearer ${token}`;
  if (token !== undefined) return invalid(name, "its token is empty or has characters that no header may have");
  if (username === undefined || password === undefined)
    return invalid(name, "expected the key token, or username and password");
  if (username.includes(":")) return invalid(name, "its username has a colon");
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function invalid(name: string, why: string): FssyncError {
  return new FssyncError("SecretInvalid", `Secret ${name}: ${why}`);
}
