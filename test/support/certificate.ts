import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

export interface SelfSigned {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

const DAY = 86_400_000;
const ECDSA_WITH_SHA256 = "2a8648ce3d040302";
const COMMON_NAME = "550403";
const SUBJECT_ALT_NAME = "551d11";

/** A certificate of its own for this machine: `localhost` and 127.0.0.1. */
export function selfSigned({
  name = "fssync test",
  until = new Date(Date.now() + DAY),
}: { name?: string; until?: Date } = {}): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(objectId(ECDSA_WITH_SHA256));
  const whose = sequence(set(sequence(objectId(COMMON_NAME), utf8(name))));
  const addresses = sequence(der(0x82, Buffer.from("localhost")), der(0x87, Buffer.from([127, 0, 0, 1])));
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    whose,
    sequence(time(new Date(Math.min(Date.now(), until.getTime()) - 10 * DAY)), time(until)),
    whose,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(sequence(objectId(SUBJECT_ALT_NAME), der(0x04, addresses)))),
  );
  const signature = Buffer.concat([Buffer.from([0]), sign("sha256", body, privateKey)]);
  const cert = pem("CERTIFICATE", sequence(body, algorithm, der(0x03, signature)));
  return { cert, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

function pem(what: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g)!;
  return [`-----BEGIN ${what}-----`, ...lines, `-----END ${what}-----`, ""].join("\n");
}

/** Tag, length, value. */
function der(tag: number, ...values: Buffer[]): Buffer {
  const value = Buffer.concat(values);
  const { length } = value;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...head]), value]);
}

function sequence(...values: Buffer[]): Buffer {
  return der(0x30, ...values);
}

function set(...values: Buffer[]): Buffer {
  return der(0x31, ...values);
}

function objectId(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function integer(value: Buffer): Buffer {
  return der(0x02, value);
}

function utf8(text: string): Buffer {
  return der(0x0c, Buffer.from(text));
}

/** `YYYYMMDDhhmmssZ`. */
function time(date: Date): Buffer {
  return der(0x18, Buffer.from(date.toISOString().replaceAll(/[-:T]|\.\d+/g, "")));
}
