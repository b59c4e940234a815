import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { SENDERS, type Sender } from "./senders.ts";

/** What the headers of a webhook show to prove that its sender knows a secret. Any one that is right is enough. */
export interface Proofs {
  /** The secret itself, as bytes. */
  readonly tokens: readonly Buffer[];
  /** HMAC-SHA256 of the body. */
  readonly signatures: readonly Buffer[];
  /** HMAC-SHA256 of the body behind a prefix, by the Standard Webhooks; null when there is none, or it is out of date. */
  readonly standard: { readonly prefix: Buffer; readonly signatures: readonly Buffer[] } | null;
}

/** How far the sender's clock may be from ours, seconds: what is older may have been recorded and sent again. */
const TOLERANCE = 300;

/** Shorter keys are no keys that anybody made on purpose; an empty one would let everybody in. */
const SHORTEST_KEY = 16;

/** `now` is in milliseconds since the epoch. */
export function proofsOf(sender: Sender, headers: IncomingHttpHeaders, now: number): Proofs {
  const { token, bearer, signatures = {}, standard } = SENDERS[sender];
  const tokens = [token && textOf(headers, token), bearer && bearerOf(headers)];
  return {
    tokens: tokens.filter((text) => typeof text === "string" && text !== "").map((text) => bytesOf(text as string)),
    signatures: Object.entries(signatures).flatMap(([header, prefix]) => hexOf(textOf(headers, header), prefix)),
    standard: standard ? standardOf(headers, now) : null,
  };
}

/** Whether the body must be read to know whether a secret is the sender's. */
export function needsBody({ signatures, standard }: Proofs): boolean {
  return signatures.length > 0 || standard !== null;
}

/** Whether the sender has shown the secret itself. Takes as long for any two of the same lengths. */
export function showsSecret({ tokens }: Proofs, secret: string): boolean {
  const expected = sha256(Buffer.from(secret));
  return oneOf(
    tokens.map((token) => sha256(token)),
    expected,
  );
}

/** Whether the sender has signed this body with the secret. */
export function isSignedWith({ signatures, standard }: Proofs, secret: string, body: Buffer): boolean {
  if (signatures.length > 0 && oneOf(signatures, hmac(Buffer.from(secret), body))) return true;
  const key = standard && standardKey(secret);
  return key ? oneOf(standard.signatures, hmac(key, standard.prefix, body)) : false;
}

/** `whsec_<base64>` is a key of the Standard Webhooks; any other secret signs nothing by them. */
function standardKey(secret: string): Buffer | null {
  const match = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret);
  const key = match && Buffer.from(match[1]!, "base64");
  return key && key.length >= SHORTEST_KEY ? key : null;
}

function standardOf(headers: IncomingHttpHeaders, now: number): Proofs["standard"] {
  const [id, timestamp, listed] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) =>
    textOf(headers, name),
  );
  if (!id || !timestamp || !listed || !/^\d{1,12}$/.test(timestamp)) return null;
  if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE) return null;
  const signatures = listed
    .split(" ")
    .flatMap((one) => /^v1,([A-Za-z0-9+/]{43}=)$/.exec(one)?.[1] ?? [])
    .map((text) => Buffer.from(text, "base64"));
  return signatures.length > 0 ? { prefix: bytesOf(`${id}.${timestamp}.`), signatures } : null;
}

function bearerOf({ authorization = "" }: IncomingHttpHeaders): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
}

function hexOf(text: string | undefined, prefix: string): Buffer[] {
  if (!text?.startsWith(prefix)) return [];
  const hex = text.slice(prefix.length);
  return /^[0-9a-f]{64}$/i.test(hex) ? [Buffer.from(hex, "hex")] : [];
}

function textOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

/** Node reads headers as Latin-1. */
function bytesOf(header: string): Buffer {
  return Buffer.from(header, "latin1");
}

function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function hmac(key: Buffer, ...parts: readonly Buffer[]): Buffer {
  const sum = createHmac("sha256", key);
  for (const part of parts) sum.update(part);
  return sum.digest();
}

/** All are of one length, and all are compared: the time says nothing. */
function oneOf(shown: readonly Buffer[], expected: Buffer): boolean {
  return shown.filter((one) => timingSafeEqual(one, expected)).length > 0;
}
