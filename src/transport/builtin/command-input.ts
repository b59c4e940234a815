import type { ClientChannel } from "ssh2";
import type { CommandOptions } from "../ssh-client.ts";
import type { Connection } from "./connection.ts";

/** Characters of standard output in which the awaited line must come: a host's shell may greet before it. */
const GREETING = 64 * 1024;

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
  { input = new Uint8Array(), whenSaid }: CommandOptions,
  asked: Promise<boolean>,
): Promise<void> {
  if (!whenSaid) return connection.write(channel, input);
  await connection.write(channel, input, { more: true });
  if (await asked) await connection.write(channel, await whenSaid.input());
}
