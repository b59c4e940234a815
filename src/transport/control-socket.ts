import { connect } from "node:net";

/**
 * The few words of OpenSSH's PROTOCOL.mux that need no ssh process: a persistent connection can be
 * asked whether it lives and told to end over its socket.
 */
const MUX_HELLO = 0x00000001;
const MUX_VERSION = 4;
const REQUESTS = { alive: 0x10000004, terminate: 0x10000005 } as const;
const REPLIES: ReadonlySet<number> = new Set([0x80000001, 0x80000005]);
const REQUEST_ID = 1;

/** True when the master agreed; false when nobody answers there within `timeout` milliseconds. */
export function askMaster(path: string, request: keyof typeof REQUESTS, timeout: number): Promise<boolean> {
  return new Promise((resolve) => {
    let input: Buffer = Buffer.alloc(0);
    let agreed = false;
    const socket = connect(path);
    socket.setTimeout(timeout, () => socket.destroy());
    socket.once("error", () => undefined);
    socket.once("close", () => resolve(agreed));
    socket.once("connect", () => {
      socket.write(Buffer.concat([message(MUX_HELLO, MUX_VERSION), message(REQUESTS[request], REQUEST_ID)]));
    });
    socket.on("data", (chunk) => {
      input = Buffer.concat([input, chunk]);
      while (input.length >= 8 && input.length >= 4 + input.readUInt32BE(0)) {
        agreed ||= REPLIES.has(input.readUInt32BE(4));
        input = input.subarray(4 + input.readUInt32BE(0));
      }
      // A master that was told to end closes the socket itself, when it is gone.
      if (agreed && request === "alive") socket.destroy();
    });
  });
}

function message(...words: number[]): Buffer {
  const buffer = Buffer.alloc(4 + 4 * words.length);
  buffer.writeUInt32BE(4 * words.length, 0);
  for (const [index, word] of words.entries()) buffer.writeUInt32BE(word, 4 + 4 * index);
  return buffer;
}
