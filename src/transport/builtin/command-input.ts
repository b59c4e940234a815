import type { ClientChannel } from "ssh2";
import type { CommandOptions } from "../ssh-client.ts";
import type { Connection } from "./connection.ts";

/** Characters of standard output in which the awaited line must come: a host's shell may greet before it. */
const GREETING = 64 * 1024;

/** Bytes that are copied for each host. */
const SMALL = 32 * 1024;

const NOTHING = new Uint8Array();

/**
 * Resolves with true when the command asks for the rest of its input, with false when it ends before. To be called when the
 * channel is there: the line may come with it.
 */
export function asks(channel: ClientChannel, { whenSaid }: CommandOptions): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  channel.once("close", () => resolve(false));
  if (!whenSaid) return promise;
  let text = "\n";
  const listen = (chunk: Buffer) => {
    text += chunk.toString("latin1");
    const isSaid = text.includes(`\n${whenSaid.line}\n`);
    if (isSaid) resolve(true);
    if (isSaid || text.length > GREETING) channel.off("data", listen);
  };
  channel.on("data", listen);
  return promise;
}

/** Gives a command its standard input, the last part when it asks for it, and ends it. */
export async function feed(
  connection: Connection,
  channel: ClientChannel,
  { input = NOTHING, whenSaid }: CommandOptions,
  asked: Promise<boolean>,
): Promise<void> {
  if (!whenSaid) return connection.write(channel, input);
  await connection.write(channel, input, { more: true });
  if (!(await asked)) return;
  const parts = gathered(await whenSaid.input());
  const last = parts.pop() ?? NOTHING;
  for (const part of parts) await connection.write(channel, part, { more: true });
  await connection.write(channel, last);
}

/** Small parts that follow each other as one, for them to leave together; large ones as they are, for hosts share them. */
export function gathered(parts: readonly Uint8Array[]): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const part of parts) {
    const last = found.at(-1);
    if (last && last.length + part.length <= SMALL) found[found.length - 1] = Buffer.concat([last, part]);
    else found.push(part);
  }
  return found;
}
