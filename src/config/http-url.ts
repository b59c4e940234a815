const PLACEHOLDER = /\{([^{}]*)\}/g;
const KNOWN = new Set(["mod", "env", "app"]);

/** What is wrong with the URL of an inventory, as an expectation; undefined when nothing is. */
export function httpUrlMistake(text: string, { placeholders }: { placeholders: boolean }): string | undefined {
  const mistake = placeholders ? placeholderMistake(text) : fixedMistake(text);
  if (mistake !== undefined) return mistake;
  const url = URL.parse(text.replaceAll(PLACEHOLDER, "x"));
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:"))
    return "expected a URL that begins with http:// or https://";
  if (url.username !== "" || url.password !== "")
    return "expected a URL without credentials; put token, or username and password, into the Secret of secretRef";
  return undefined;
}

function placeholderMistake(text: string): string | undefined {
  for (const [whole, name] of text.matchAll(PLACEHOLDER)) {
    if (!KNOWN.has(name ?? "")) return `expected only the placeholders {mod}, {env} and {app}, not ${whole}`;
  }
  if (/[{}]/.test(text.replaceAll(PLACEHOLDER, ""))) return "expected every { to be closed by a }";
  const origin = /^[a-z]+:\/\/[^/?#]*/i.exec(text)?.[0] ?? "";
  return origin.includes("{") ? "expected placeholders only in the path and the query" : undefined;
}

function fixedMistake(text: string): string | undefined {
  return /[{}]/.test(text) ? "expected a URL without placeholders: one query gives the hosts of all apps" : undefined;
}
