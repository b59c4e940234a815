import { isIP } from "node:net";

/** `address:port`, IPv6 in brackets. One host is worked on by one worker at a time. */
export type HostKey = string;

/** A host with every default filled in. */
export interface Host {
  readonly key: HostKey;
  readonly address: string;
  readonly port: number;
  readonly user: string;
  /** Absolute folder that paths are laid under. */
  readonly root: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/;
const USER = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?$/;

/** The rule of the design: an IP address without a zone, or a plain host name. */
export function isHostAddress(text: string): boolean {
  return (isIP(text) !== 0 && !text.includes("%")) || NAME.test(text);
}

export function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535;
}

/** A login, owner or group name as Linux allows it; nothing a shell or an option parser could read otherwise. */
export function isAccountName(text: string): boolean {
  return USER.test(text);
}

/** Absolute, without control characters or `..`. */
export function isRootFolder(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return text.startsWith("/") && !/[\u0000-\u001f\u007f]/.test(text) && !text.split("/").includes("..");
}

export function hostKey(address: string, port: number): HostKey {
  return `${bracketed(address)}:${port}`;
}

/** `10.0.0.1`, `10.0.0.1:2222`, `web-1:22`, `::1`, `[::1]:2222`; undefined for anything else. */
export function parseHostText(text: string): { address: string; port?: number } | undefined {
  if (isHostAddress(text)) return { address: text };
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? /^\[([^\]]+)\]$/.exec(text);
  const address = match?.[1] ?? match?.[2];
  if (address === undefined || !isHostAddress(address)) return undefined;
  if (text.startsWith("[") && isIP(address) !== 6) return undefined;
  if (match?.[3] === undefined) return { address };
  const port = Number(match[3]);
  return isPort(port) ? { address, port } : undefined;
}

export function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
