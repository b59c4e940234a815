import type { FastifyReply, FastifyRequest } from "fastify";
import { asFssyncError } from "../model/errors.ts";

/** One line of an answer on the control socket. */
export type ControlLine<Event, Result> =
  | { readonly event: Event }
  | { readonly result: Result }
  | { readonly error: { readonly reason: string; readonly message: string } };

/** Answers with a line for each event and one for the result; the signal aborts when the client leaves. */
export async function answerInLines<Event, Result>(
  request: FastifyRequest,
  reply: FastifyReply,
  work: (send: (event: Event) => void, signal: AbortSignal) => Promise<Result>,
): Promise<void> {
  const left = new AbortController();
  request.raw.socket.once("close", () => left.abort());
  reply.hijack();
  reply.raw.writeHead(200, { "content-type": "application/x-ndjson" });
  const write = (line: ControlLine<Event, Result>) => reply.raw.write(`${JSON.stringify(line)}\n`);
  try {
    write({ result: await work((event) => write({ event }), left.signal) });
  } catch (thrown) {
    const { reason, message } = asFssyncError(thrown);
    write({ error: { reason, message } });
  }
  reply.raw.end();
}
