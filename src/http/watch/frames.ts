/** Server-sent events as bytes: whoever is told the same shares them. */

export type ChangeType = "added" | "modified" | "deleted";

const HEADS: Readonly<Record<ChangeType, Buffer>> = {
  added: Buffer.from("event: added\n"),
  modified: Buffer.from("event: modified\n"),
  deleted: Buffer.from("event: deleted\n"),
};

/** A comment that shows that the stream lives. */
export const HEARTBEAT = Buffer.from(": heartbeat\n\n");

/** What the event of an item says after its type; `id` grows with every change, JSON has no line breaks. */
export function body(id: number, json: string): Buffer {
  return Buffer.from(`id: ${id}\ndata: ${json}\n\n`);
}

/** The two parts of one event. */
export function changed(type: ChangeType, said: Buffer): readonly [Buffer, Buffer] {
  return [HEADS[type], said];
}

/** The first of a stream: after how many milliseconds to come again when it ends. */
export function comeAgain(milliseconds: number): Buffer {
  return Buffer.from(`retry: ${Math.round(milliseconds)}\n\n`);
}

/** All that there was has been told; from here on it is what changes. */
export function synced(id: number): Buffer {
  return Buffer.from(`event: synced\nid: ${id}\ndata: {}\n\n`);
}
