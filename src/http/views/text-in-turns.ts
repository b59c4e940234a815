import type { Clock } from "../../ports/clock.ts";
import { Turns } from "../../ports/turns.ts";

/** The pieces as one text, put together in small steps between which everything else goes on. */
export async function textInTurns(pieces: Iterable<string>, clock: Clock): Promise<Buffer> {
  const turns = new Turns(clock);
  const all: string[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    all.push(piece);
    bytes += Buffer.byteLength(piece);
    await turns.pause();
  }
  const text = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const piece of all) {
    at += text.write(piece, at);
    await turns.pause();
  }
  return text;
}

/** Pieces with commas between them. */
export function* commaSeparated<Item>(items: Iterable<Item>, textOf: (item: Item) => string): Iterable<string> {
  let comma = "";
  for (const item of items) {
    yield `${comma}${textOf(item)}`;
    comma = ",";
  }
}
