import { createHash, createPublicKey } from "node:crypto";

/** A public key in ssh's wire format, with what ssh calls its type. */
export interface PublicKey {
  /** `ssh-ed25519`, `ssh-rsa`, … */
  readonly type: string;
  /** Of the wire format, padded: the way files have it. */
  readonly base64: string;
}

/** Bits below which OpenSSH takes an RSA key for none. */
const RSA_MINIMUM = 1024;

const CURVES: ReadonlyMap<string, { readonly name: string; readonly jwk: string; readonly bytes: number }> = new Map([
  ["ecdsa-sha2-nistp256", { name: "nistp256", jwk: "P-256", bytes: 32 }],
  ["ecdsa-sha2-nistp384", { name: "nistp384", jwk: "P-384", bytes: 48 }],
  ["ecdsa-sha2-nistp521", { name: "nistp521", jwk: "P-521", bytes: 66 }],
]);

/** Type words of lines that stand for a key of another type: these name a signature, which OpenSSH accepts there. */
const SIGNATURES: ReadonlyMap<string, string> = new Map([
  ["rsa-sha2-256", "ssh-rsa"],
  ["rsa-sha2-512", "ssh-rsa"],
]);

/** What people call a type: `ED25519`, `RSA`. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ["ssh-ed25519", "ED25519"],
  ["ssh-rsa", "RSA"],
  ["ssh-dss", "DSA"],
  ["sk-ssh-ed25519@openssh.com", "ED25519-SK"],
  ["sk-ecdsa-sha2-nistp256@openssh.com", "ECDSA-SK"],
  ...[...CURVES.keys()].map((type) => [type, "ECDSA"] as const),
]);

export function typeName(type: string): string {
  return NAMES.get(type) ?? type;
}

/** The key in `wire`, as a host shows it; its inside is for ssh2 to judge. */
export function shownKey(wire: Buffer): PublicKey {
  const [type] = fields(wire) ?? [];
  return { type: type?.toString("latin1") ?? "", base64: wire.toString("base64") };
}

/** As `ssh-keygen -l` shows it. */
function fingerprint({ base64 }: PublicKey): string {
  const hash = createHash("sha256").update(base64, "base64").digest("base64");
  return `SHA256:${hash.replace(/=+$/, "")}`;
}

/** A key as people compare it: `ED25519 SHA256:…`. */
export function describeKey(key: PublicKey): string {
  return `${typeName(key.type)} ${fingerprint(key)}`;
}

/** The key of a line with these two words; undefined for what OpenSSH would take for none. */
export function parsePublicKey(type: string, base64: string): PublicKey | undefined {
  const named = SIGNATURES.get(type) ?? type;
  const wire = Buffer.from(base64, "base64");
  if (wire.length === 0 || wire.toString("base64") !== base64) return undefined;
  const [own, ...parts] = fields(wire) ?? [];
  if (own?.toString("latin1") !== named) return undefined;
  return isKey(named, parts) ? { type: named, base64 } : undefined;
}

function isKey(type: string, parts: readonly Buffer[]): boolean {
  const [first, second, third] = parts;
  switch (type) {
    case "ssh-ed25519":
      return parts.length === 1 && first?.length === 32;
    case "sk-ssh-ed25519@openssh.com":
      return parts.length === 2 && first?.length === 32;
    case "sk-ecdsa-sha2-nistp256@openssh.com":
      return parts.length === 3 && isPoint("ecdsa-sha2-nistp256", first, second) && third !== undefined;
    case "ssh-rsa":
      return parts.length === 2 && isNumber(first) && isNumber(second) && bits(second) >= RSA_MINIMUM;
    case "ssh-dss":
      return parts.length === 4 && parts.every(isNumber);
    default:
      return parts.length === 2 && isPoint(type, first, second);
  }
}

/** A number of any length, as OpenSSH takes it: not negative. */
function isNumber(bytes: Buffer | undefined): bytes is Buffer {
  return bytes !== undefined && ((bytes[0] ?? 0) & 0x80) === 0;
}

function bits(number: Buffer): number {
  return BigInt(`0x${number.toString("hex") || "0"}`).toString(2).length;
}

/** Whether it is an uncompressed point of the type's curve. */
function isPoint(type: string, curve: Buffer | undefined, point: Buffer | undefined): boolean {
  const known = CURVES.get(type);
  if (!known || curve?.toString("latin1") !== known.name || point?.length !== 1 + 2 * known.bytes) return false;
  if (point[0] !== 4) return false;
  const x = point.subarray(1, 1 + known.bytes).toString("base64url");
  const y = point.subarray(1 + known.bytes).toString("base64url");
  try {
    createPublicKey({ key: { kty: "EC", crv: known.jwk, x, y }, format: "jwk" });
    return true;
  } catch {
    return false;
  }
}

/** The strings that ssh's wire format is a row of; undefined when something is left over. */
export function fields(wire: Buffer): Buffer[] | undefined {
  const found: Buffer[] = [];
  let at = 0;
  while (at < wire.length) {
    if (at + 4 > wire.length) return undefined;
    const end = at + 4 + wire.readUInt32BE(at);
    if (end > wire.length) return undefined;
    found.push(wire.subarray(at + 4, end));
    at = end;
  }
  return found;
}
