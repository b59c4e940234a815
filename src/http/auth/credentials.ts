/** Challenges for both ways to show a token; some clients send a password only after `Basic` was asked for. */
export const CHALLENGES: readonly string[] = ['Bearer realm="fssync"', 'Basic realm="fssync", charset="UTF-8"'];

/** The token of an Authorization header: a bearer's, or the password of Basic with any user name. */
export function tokenOf(header: string | undefined): string | undefined {
  const [, scheme, credentials] = /^(Bearer|Basic) +(\S+) *$/i.exec(header ?? "") ?? [];
  if (!scheme || !credentials) return undefined;
  return scheme.toLowerCase() === "bearer" ? credentials : passwordOf(credentials);
}

export function isBasic(header: string | undefined): boolean {
  return /^Basic /i.test(header ?? "");
}

/** A user name has no colon, a password may. */
function passwordOf(credentials: string): string | undefined {
  const text = Buffer.from(credentials, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? undefined : text.slice(colon + 1) || undefined;
}
