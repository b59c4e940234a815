import { isAccountName, isHostAddress } from "../model/host.ts";

const EXPECTED = "expected a Git URL: https://host/path, ssh://user@host/path or user@host:path";

/** What is wrong with a Git URL, as an expectation; undefined when nothing is. `file:` is for the loader to allow. */
export function gitUrlMistake(text: string): string | undefined {
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f]/.test(text)) return `${EXPECTED}, without spaces and control characters`;
  if (text.startsWith("-")) return `${EXPECTED}; a leading dash is an option to Git`;
  if (/^[A-Za-z0-9+.-]*::/.test(text)) return `${EXPECTED}; remote helpers such as ext:: are never run`;
  if (!text.includes("://")) return scpLikeMistake(text);
  const url = URL.parse(text);
  if (url === null) return EXPECTED;
  switch (url.protocol) {
    case "https:":
      return httpsMistake(url);
    case "ssh:":
      return sshMistake(url);
    case "file:":
      return url.host === "" && url.pathname.length > 1 ? undefined : "expected file:///absolute/path";
    default:
      return `${EXPECTED}; not ${url.protocol.slice(0, -1)}`;
  }
}

export function isFileUrl(text: string): boolean {
  return /^file:/i.test(text);
}

function httpsMistake(url: URL): string | undefined {
  if (url.username !== "" || url.password !== "")
    return "expected a URL without credentials; put username and password into the Secret that git.secretRef names";
  return isHostAddress(unbracketed(url.hostname)) && url.pathname.length > 1 ? undefined : EXPECTED;
}

function sshMistake(url: URL): string | undefined {
  if (url.password !== "")
    return "expected a URL without a password; put the key `identity` into the Secret that git.secretRef names";
  if (url.username !== "" && !isAccountName(url.username)) return EXPECTED;
  return isHostAddress(unbracketed(url.hostname)) && url.pathname.length > 1 ? undefined : EXPECTED;
}

/** `user@host:path`, `host:path`. A path with a leading dash would be an option on the far side. */
function scpLikeMistake(text: string): string | undefined {
  const match = /^(?:([^@:/]+)@)?([^@:/[\]]+|\[[^\]]+\]):(.+)$/.exec(text);
  const [, user, host, path] = match ?? [];
  if (host === undefined || path === undefined) return EXPECTED;
  if (user !== undefined && !isAccountName(user)) return EXPECTED;
  return isHostAddress(unbracketed(host)) && !path.startsWith("-") ? undefined : EXPECTED;
}

function unbracketed(hostname: string): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}
