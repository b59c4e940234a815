import { isIP } from "node:net";
import { FssyncError } from "../model/errors.ts";
import { isHostAddress } from "../model/host.ts";

export type Protocol = "https" | "ssh" | "http" | "file";

export interface RemoteUrl {
  /** As git gets it. */
  readonly text: string;
  readonly protocol: Protocol;
  /** Host, with the port when the URL names one, as git's password prompt shows it; empty for files. */
  readonly host: string;
}

const SCP_LIKE = /^([A-Za-z0-9_][A-Za-z0-9_.-]*)@([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([^:-].*)$/;
const LOGIN = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
const LOOPBACK = /^(127(\.\d{1,3}){3}|localhost|\[::1\])$/;

/**
 * The URL of a remote, or InvalidSpec. Only forms whose meaning cannot be stretched pass: no transport
 * helper (`ext::`), nothing an option parser could take, no password that would end in a process list.
 */
export function parseRemoteUrl(text: string, { allowFileUrls }: { allowFileUrls: boolean }): RemoteUrl {
  // Backslashes and control characters are where URL parsers disagree about the host.
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f\\]/.test(text)) throw invalid(text, "it holds a space, a backslash or a control character");
  if (text.startsWith("-")) throw invalid(text, "it begins with `-`");
  if (/^[a-z][a-z0-9+.-]*::/i.test(text)) throw invalid(text, "transport helpers are not allowed");
  if (text.startsWith("/")) return localFile(text, allowFileUrls);
  if (text.includes("://")) return withScheme(text, allowFileUrls);
  return scpLike(text);
}

/** A URL or a line of git's as it may be shown: user and password between `//` and `@` are left out. */
export function redactUrls(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#'"]*@/gi, "$1");
}

function withScheme(text: string, allowFileUrls: boolean): RemoteUrl {
  const url = URL.parse(text);
  if (url === null) throw invalid(text, "it is no URL");
  switch (url.protocol) {
    case "file:":
      if (url.host !== "") throw invalid(text, "a file URL names no host");
      return localFile(text, allowFileUrls);
    case "http:":
      if (!allowFileUrls || !LOOPBACK.test(url.hostname))
        throw invalid(text, "http is not encrypted: use https or ssh");
      return web(text, url, "http");
    case "https:":
      return web(text, url, "https");
    case "ssh:":
      return ssh(text, url);
    default:
      throw invalid(text, "its scheme is neither https nor ssh");
  }
}

function web(text: string, url: URL, protocol: "http" | "https"): RemoteUrl {
  if (url.username !== "" || url.password !== "" || /^[a-z]+:\/\/[^/?#]*@/i.test(text)) {
    throw invalid(text, "it holds a user or a password: put them into the secret that git.secretRef names");
  }
  checkHost(text, url.hostname);
  return { text, protocol, host: url.host };
}

function ssh(text: string, url: URL): RemoteUrl {
  if (url.password !== "")
    throw invalid(text, "it holds a password: ssh uses the key in the secret that git.secretRef names");
  if (url.username !== "" && !LOGIN.test(url.username)) throw invalid(text, "its user is no login name");
  checkHost(text, url.hostname);
  if (url.pathname.length < 2) throw invalid(text, "it names no repository");
  return { text, protocol: "ssh", host: url.host };
}

function scpLike(text: string): RemoteUrl {
  const host = SCP_LIKE.exec(text)?.[2];
  if (host === undefined) throw invalid(text, "it is neither https://, ssh:// nor user@host:path");
  checkHost(text, host);
  return { text, protocol: "ssh", host };
}

function localFile(text: string, allowFileUrls: boolean): RemoteUrl {
  if (!allowFileUrls) throw invalid(text, "files on the controller are allowed only with --allow-file-urls");
  return { text, protocol: "file", host: "" };
}

function checkHost(text: string, host: string): void {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  if (!isHostAddress(bare) || (bare !== host && isIP(bare) !== 6)) throw invalid(text, "its host is not valid");
}

function invalid(text: string, why: string): FssyncError {
  const shown = JSON.stringify(redactUrls(text)).slice(1, -1);
  return new FssyncError("InvalidSpec", `spec.git.url: \`${shown}\` is refused: ${why}`);
}
