import { createPrivateKey, type KeyObject } from "node:crypto";
import { Worker } from "node:worker_threads";
import type { ParsedKey } from "ssh2";
import { FssyncError } from "../../model/errors.ts";
import { fields, shownKey, type PublicKey } from "./public-key.ts";
import type { Locked, Unlocked } from "./unlock.ts";
import { ssh2 } from "./ssh2.ts";

/** Beside this module, whether it is the source or built. */
const UNLOCK = new URL(import.meta.url.replace(/identity(\.\w+)$/, "unlock$1"));

/** A private key that this process can log in with. */
export interface Identity {
  readonly key: ParsedKey;
  readonly public: PublicKey;
}

interface IdentityText {
  readonly text: string;
  readonly passphrase?: string | undefined;
  /** What messages call it: "Secret ssh: identity". */
  readonly name: string;
}

const USABLE: ReadonlySet<string> = new Set([
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "ssh-rsa",
]);

const OPENSSH = /^-----BEGIN OPENSSH PRIVATE KEY-----\s([\s\S]+)-----END OPENSSH PRIVATE KEY-----/;
const OPENSSH_MAGIC = "openssh-key-v1\0";

/**
 * A private key in OpenSSH's own format, in PEM or in PKCS #8, encrypted or not. Rejects with SecretInvalid, which says
 * whether it is the passphrase that is missing or wrong.
 */
export async function parseIdentity({ text, passphrase, name }: IdentityText): Promise<Identity> {
  const isContainer = OPENSSH.test(text.trim());
  if (isEncrypted(text) && !passphrase) throw noPassphrase(name);
  const open = isContainer && passphrase && isEncrypted(text) ? await unlocked(text, passphrase, name) : text.trim();
  const key = ssh2.utils.parseKey(OPENSSH.test(open) ? open : plainKey(open, passphrase, name));
  if (key instanceof Error) throw invalid(name, key);
  if (!key.isPrivateKey()) throw invalid(name, new Error("it is a public key"));
  if (!USABLE.has(key.type)) throw invalid(name, new Error(`keys of type ${key.type} are not taken by hosts`));
  return { key, public: shownKey(key.getPublicSSH()) };
}

/** The type of a key of which this process cannot make use, while OpenSSH perhaps can: one that sits in a FIDO token. */
export function foreignType(text: string): string | undefined {
  const { type } = containerHead(text) ?? {};
  return type === undefined || USABLE.has(type) || type === "ssh-dss" ? undefined : type;
}

/** Whether a passphrase is needed to use it. */
export function isEncrypted(text: string): boolean {
  const head = containerHead(text);
  if (head) return head.cipher !== "none";
  return /^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text);
}

/** What OpenSSH's format tells without a passphrase: string cipher, kdf, kdf's options, number of keys, the public key. */
function containerHead(text: string): { cipher: string; type: string } | undefined {
  const data = Buffer.from(OPENSSH.exec(text.trim())?.[1] ?? "", "base64");
  if (data.subarray(0, OPENSSH_MAGIC.length).toString("latin1") !== OPENSSH_MAGIC) return undefined;
  const strings: Buffer[] = [];
  let at = OPENSSH_MAGIC.length;
  while (strings.length < 4 && at + 4 <= data.length) {
    const length = data.readUInt32BE(at);
    strings.push(data.subarray(at + 4, at + 4 + length));
    at += 4 + length + (strings.length === 3 ? 4 : 0);
  }
  const [cipher, , , wire] = strings;
  const nameLength = wire && wire.length >= 4 ? wire.readUInt32BE(0) : 0;
  const [type] = (wire && fields(wire.subarray(0, 4 + nameLength))) ?? [];
  return cipher && type ? { cipher: cipher.toString("latin1"), type: type.toString("latin1") } : undefined;
}

/** The key in a format that ssh2 reads: it knows neither PKCS #8 nor all the ways in which PEM is encrypted. */
function plainKey(text: string, passphrase: string | undefined, name: string): string {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: text, format: "pem", ...(passphrase && { passphrase }) });
  } catch (error) {
    throw isEncrypted(text) ? wrongPassphrase(name, error) : invalid(name, error);
  }
  switch (key.asymmetricKeyType) {
    case "rsa":
      return key.export({ type: "pkcs1", format: "pem" }).toString();
    case "ec":
      return key.export({ type: "sec1", format: "pem" }).toString();
    case "ed25519":
      return ed25519Container(key);
    default:
      throw invalid(name, new Error(`keys of type ${key.asymmetricKeyType} are not taken by hosts`));
  }
}

/** In OpenSSH's own format, the only one in which ssh2 reads such a key. */
function ed25519Container(key: KeyObject): string {
  const { x = "", d = "" } = key.export({ format: "jwk" });
  const point = Buffer.from(x, "base64url");
  const secret = Buffer.concat([Buffer.from(d, "base64url"), point]);
  const wire = Buffer.concat([string("ssh-ed25519"), string(point)]);
  // Two equal numbers, which prove a passphrase where there is one; then the key with its comment, and 1, 2, 3, … to a full block.
  const inner = Buffer.concat([Buffer.alloc(8), wire, string(secret), string("")]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7].slice(0, (8 - (inner.length % 8)) % 8));
  const one = Buffer.from([0, 0, 0, 1]);
  const head = [Buffer.from(OPENSSH_MAGIC, "latin1"), string("none"), string("none"), string(""), one, string(wire)];
  const data = Buffer.concat([...head, string(Buffer.concat([inner, padding]))]);
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${data.toString("base64")}\n-----END OPENSSH PRIVATE KEY-----`;
}

function string(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The key in PEM, without its passphrase. */
async function unlocked(text: string, passphrase: string, name: string): Promise<string> {
  const workerData: Locked = { text, passphrase };
  const worker = new Worker(UNLOCK, { workerData });
  const answer = Promise.withResolvers<Unlocked>();
  worker.once("message", answer.resolve).once("error", answer.reject);
  worker.once("exit", () => answer.reject(new Error("the thread that decrypts it ended")));
  const said = await answer.promise;
  if ("pem" in said) return said.pem;
  const fault = new Error(said.fault);
  throw said.fault.includes("bad passphrase") ? wrongPassphrase(name, fault) : invalid(name, fault);
}

function noPassphrase(name: string): FssyncError {
  return new FssyncError("SecretInvalid", `${name} is encrypted, and there is no key \`passphrase\` beside it`);
}

function wrongPassphrase(name: string, cause: unknown): FssyncError {
  return new FssyncError("SecretInvalid", `${name} cannot be decrypted: the passphrase is wrong`, { cause });
}

function invalid(name: string, cause: unknown): FssyncError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new FssyncError("SecretInvalid", `${name} is no private key that can be used: ${why}`, { cause });
}
