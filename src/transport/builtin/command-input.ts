import type { ClientChannel } from "ssh2";
import type { CommandOptions } from "../ssh-client.ts";
import type { Connection } from "./connection.ts";

/** Characters of standard output in which the awaited line must begin: a host's shell may greet before it. */
const GREETING = 64 * 1024;

/** Gives a command its standard input, the last part when the host asks for it, and ends it. */
export async function feed(
  connection: Connection,
  channel: ClientChannel,
  { input = new Uint8Array(), whenSaid }: CommandOptions,
): Promise<void> {
  if (!whenSaid) return connection.write(channel, input);
  const asked = said(channel, whenSaid.line);
  await connection.write(channel, input, { more: true });
  if (await asked) await connection.write(channel, whenSaid.input);
}

/** True when the line comes, false when the command ends before. */
function said(channel: ClientChannel, line: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let text = "\n";
  const listen = (chunk: Buffer) => {
    text += chunk.toString("latin1");
    if (text.includes(`\n${line}\n`)) resolve(true);
    else if (text.length < GREETING) return;
    channel.off("data", listen);
    text = "";
  };
  channel.on("data", listen);
  channel.once("close", () => resolve(false));
  return promise;
}
