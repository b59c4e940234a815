import { getCiphers } from "node:crypto";

/**
 * What is offered to hosts, best first: OpenSSH's choice as far as ssh2 can, with the cheap ones before. Nothing with SHA-1
 * in a key exchange or in a host key's signature, as with OpenSSH; CentOS 7 and Debian 8 need none of it.
 */
const KEX = [
  "curve25519-sha256",
  "curve25519-sha256@libssh.org",
  "ecdh-sha2-nistp256",
  "ecdh-sha2-nistp384",
  "ecdh-sha2-nistp521",
  "diffie-hellman-group14-sha256",
  "diffie-hellman-group-exchange-sha256",
  "diffie-hellman-group16-sha512",
  "diffie-hellman-group18-sha512",
] as const;

const CHACHA = "chacha20-poly1305@openssh.com";

const CIPHERS = [
  "aes128-gcm@openssh.com",
  "aes256-gcm@openssh.com",
  "aes128-ctr",
  "aes192-ctr",
  "aes256-ctr",
  // Slow here, but some hosts take nothing else. An OpenSSL without it would make ssh2 refuse the whole list.
  ...(getCiphers().includes("chacha20") ? ([CHACHA] as const) : []),
] as const;

const MACS = [
  "hmac-sha2-256-etm@openssh.com",
  "hmac-sha2-512-etm@openssh.com",
  "hmac-sha2-256",
  "hmac-sha2-512",
  "hmac-sha1",
] as const;

export const ALGORITHMS = { kex: [...KEX], cipher: [...CIPHERS], hmac: [...MACS], compress: ["none" as const] };

/** Host key algorithms in OpenSSH's order, with the type of key that each is for. */
const HOST_KEY_TYPES = [
  ["ssh-ed25519", "ssh-ed25519"],
  ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"],
  ["ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"],
  ["ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"],
  ["rsa-sha2-512", "ssh-rsa"],
  ["rsa-sha2-256", "ssh-rsa"],
] as const;

/**
 * Types that are known for the host first: a key can only be checked when the host shows it. When the best of all is known
 * the order is not changed, as OpenSSH does it.
 */
export function hostKeyAlgorithms(known: ReadonlySet<string>): HostKeyAlgorithm[] {
  const all = HOST_KEY_TYPES.map(([algorithm]) => algorithm);
  if (known.has(HOST_KEY_TYPES[0][1])) return all;
  const first = HOST_KEY_TYPES.filter(([, type]) => known.has(type)).map(([algorithm]) => algorithm);
  return [...first, ...all.filter((algorithm) => !first.includes(algorithm))];
}

export type HostKeyAlgorithm = (typeof HOST_KEY_TYPES)[number][0];

/** Whether ssh2 can check keys of the type. */
export function canCheck(type: string): boolean {
  return HOST_KEY_TYPES.some(([, each]) => each === type);
}
