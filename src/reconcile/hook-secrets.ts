/** Key of the Secret. */
const KEY = "token";

/** Shorter ones can be guessed. */
const SHORTEST = 16;

/** What the Secret of webhooks says. */
export interface HookSecrets {
  /** Each of them verifies a webhook. */
  readonly secrets: readonly string[];
  /** What is wrong with the other lines, by Secret, key and line, and never by the secret. */
  readonly faults: readonly string[];
}

/**
 * One a line, so that the next and the last one hold together while a sender is moved from one to the other; `#` begins
 * a comment.
 */
export function parseHookSecrets(name: string, keys: ReadonlyMap<string, string>): HookSecrets {
  const secrets = new Set<string>();
  const faults: string[] = [];
  for (const [index, text] of (keys.get(KEY) ?? "").split("\n").entries()) {
    const line = text.trim();
    if (line === "" || line.startsWith("#")) continue;
    const fault = faultOf(line);
    if (fault === null) secrets.add(line);
    else faults.push(`Secret ${name}, key ${KEY}, line ${index + 1}: ${fault}`);
  }
  if (secrets.size + faults.length === 0) faults.push(`Secret ${name} has no key ${KEY}, or an empty one`);
  return { secrets: [...secrets], faults };
}

/** A key of the Standard Webhooks is as long as the bytes that it stands for. */
function faultOf(secret: string): string | null {
  const bytes = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  const [length, unit] = bytes ? [Buffer.from(bytes, "base64").length, "bytes"] : [secret.length, "characters"];
  return length < SHORTEST ? `the secret has ${length} ${unit}; ${SHORTEST} are the least` : null;
}
