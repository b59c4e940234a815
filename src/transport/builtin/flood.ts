import type { Readable } from "node:stream";

/** Bytes that a host says for people at most: errors of thousands of files are less. */
const FLOOD = 4 * 1024 * 1024;

/** Tells once that more came from now on than anybody says in good faith; who reads it all would do nothing else. */
export function onFlood(stream: Readable, flooded: () => void): void {
  let size = 0;
  const count = (chunk: Buffer) => {
    size += chunk.length;
    if (size <= FLOOD) return;
    stream.off("data", count);
    flooded();
  };
  stream.on("data", count);
}
