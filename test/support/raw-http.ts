import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** Sends these bytes on a connection of their own, and reads until the server ends it. */
export async function send(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  // A server that has answered may cut off what is still sent.
  socket.on("error", () => {});
  socket.write(bytes);
  return await received(socket);
}

/** What the other side sends until it ends; what was there before the connection broke. */
export async function received(socket: Socket): Promise<string> {
  let all = "";
  socket.setEncoding("latin1").on("data", (more: string) => (all += more));
  return await text(socket).then(
    () => all,
    () => all,
  );
}

/** The first answer of what a connection sent. */
export function answerIn(bytes: string): RawAnswer {
  const [head = "", ...rest] = bytes.split("\r\n\r\n");
  const [line = "", ...lines] = head.split("\r\n");
  const headers = new Headers(lines.map((header) => header.split(": ", 2) as [string, string]));
  const length = headers.get("content-length");
  const body = rest.join("\r\n\r\n");
  return { status: Number(line.split(" ")[1]), headers, body: length === null ? body : body.slice(0, Number(length)) };
}
