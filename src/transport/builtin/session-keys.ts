import { createSecretKey } from "node:crypto";
import type { Client } from "ssh2";
import { inside } from "./ssh2-inside.ts";

/** Where ssh2 1.17 keeps the keys of AES-GCM. */
const PLACES = [
  ["_cipher", "_encKey"],
  ["_decipher", "_decipherKey"],
] as const;

/**
 * ssh2 gives each packet's key to `node:crypto` as bytes, which are made a key anew each time: 15 of the 20 µs that a small packet
 * costs. Here they are made keys once, after each exchange. Where ssh2 keeps no bytes in these places nothing is done.
 */
export function keepSessionKeys(client: Client): void {
  client.on("handshake", () => {
    for (const [direction, key] of PLACES) {
      const cipher = inside(client)[direction];
      const bytes: unknown = cipher && Reflect.get(cipher, key);
      if (cipher && Buffer.isBuffer(bytes)) Object.assign(cipher, { [key]: createSecretKey(bytes) });
    }
  });
}

/** Whether new keys are being agreed on: until `handshake` ssh2 1.17 holds back, in memory, whatever is written. */
export function exchangesKeys(client: Client): boolean {
  return inside(client)._kexinit !== undefined;
}
