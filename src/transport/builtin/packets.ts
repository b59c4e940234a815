import { randomFillSync } from "node:crypto";
import type { Client } from "ssh2";
import { inside } from "./ssh2-inside.ts";

/** Packets of fewer bytes come cheap; logins are among them, which wait for a signature when their packet is made. */
const SMALL = 16 * 1024;
/** One packet at a time is made ready and encrypted, whatever the connection. */
const WORKPLACE = Buffer.allocUnsafeSlow(80 * 1024);
/** Each byte is used once. */
const RANDOM = Buffer.allocUnsafeSlow(8 * 1024);
let used = RANDOM.length;

/** Native to Node, as ssh2 means it: AES-GCM by `node:crypto`. */
const AES_GCM = "AESGCMCipherNative";

interface Cipher {
  allocPacket(payload: number): Buffer;
  _onWrite(piece: Buffer): void;
}

/**
 * ssh2 1.17 makes new memory and asks OpenSSL for random bytes for each packet that it sends: with AES-GCM that is a third of the
 * CPU of a megabyte, most of it for the garbage. Here packets are made in one place. Where ssh2 has another cipher nothing is done.
 */
export function sparePackets(client: Client): void {
  client.on("handshake", () => {
    const cipher = cipherOf(client);
    if (!cipher) return;
    const write = cipher._onWrite.bind(cipher);
    // The packet's length goes out as it is, and must outlast the next packet.
    const kept = (piece: Buffer) => (piece.buffer === WORKPLACE.buffer ? Buffer.from(piece) : piece);
    Object.assign(cipher, { allocPacket, _onWrite: (piece: Buffer) => write(kept(piece)) } satisfies Cipher);
  });
}

/** Length, length of the padding, room for the payload, padding (RFC 4253, 6; RFC 5647, 7.2: the length is not padded). */
function allocPacket(payload: number): Buffer {
  const least = 16 - ((1 + payload) % 16);
  const padding = least < 4 ? least + 16 : least;
  const size = 4 + 1 + payload + padding;
  const packet = size > SMALL && size <= WORKPLACE.length ? WORKPLACE.subarray(0, size) : Buffer.allocUnsafe(size);
  packet.writeUInt32BE(size - 4, 0);
  packet[4] = padding;
  if (used + padding > RANDOM.length) {
    randomFillSync(RANDOM);
    used = 0;
  }
  RANDOM.copy(packet, 5 + payload, used, used + padding);
  used += padding;
  return packet;
}

function cipherOf(client: Client): Cipher | undefined {
  const { _cipher: cipher } = inside(client);
  return cipher?.constructor.name === AES_GCM ? (cipher as Cipher) : undefined;
}
