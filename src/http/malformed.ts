import { randomUUID } from "node:crypto";
import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../ports/clock.ts";
import type { HttpTelemetry } from "../ports/http-telemetry.ts";
import { aboutBlank } from "./problem.ts";
import { problemText } from "./problems.ts";

/** How long what a client still sends is thrown away, in milliseconds, before its connection is cut. */
const LINGER = 1000;

const NO_REQUEST = { method: "none", route: "none", seconds: null } as const;

interface ParserError extends Error {
  readonly code?: string;
}

/** Node keeps the answer under way there; its own handler of such errors looks there too. */
type Connection = Socket & { _httpMessage?: ServerResponse | null };

/** For what fits no route because it is malformed: a path that is not UTF-8, a name that is too long. */
export function answerBadUrl(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const status = error.statusCode === 414 ? 414 : 400;
  const detail = status === 414 ? "a part of the path is too long" : "the path is not well-formed";
  void reply
    .code(status)
    .headers({ "x-request-id": request.id, "x-content-type-options": "nosniff" })
    .type("application/problem+json")
    .send(problemText(aboutBlank(status, detail), request.id));
}

/** For what is no HTTP, comes too slowly or is too large: there is no request then, only a connection. */
export function answerClientErrors(
  clock: Clock,
  telemetry: HttpTelemetry,
): (error: ParserError, socket: Connection) => void {
  return (error, socket) => {
    const underWay = socket._httpMessage;
    if (error.code === "ECONNRESET" || !socket.writable) socket.destroy();
    // What comes after a request spoils neither it nor its answer.
    else if (underWay?.req.complete) underWay.once("close", () => socket.destroySoon());
    else if (underWay?.headersSent) socket.destroy();
    else telemetry.answered({ ...NO_REQUEST, code: answerAndEnd(error, socket, clock) });
  };
}

function answerAndEnd(error: ParserError, socket: Socket, clock: Clock): number {
  const [status, detail] = whatIsWrong(error);
  const id = randomUUID();
  const body = problemText(aboutBlank(status, detail), id);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/problem+json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${id}`,
    "x-content-type-options: nosniff",
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  // Whoever still sends would be told of a reset, and not read the answer.
  socket.resume();
  const deadline = clock.after(LINGER, () => socket.destroy());
  socket.once("close", () => deadline[Symbol.dispose]());
  return status;
}

function whatIsWrong({ code }: ParserError): [status: number, detail: string] {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return [408, "the request did not come in time"];
  if (code === "HPE_HEADER_OVERFLOW") return [431, "the headers are too large"];
  if (code === "HPE_CHUNK_EXTENSIONS_OVERFLOW") return [413, "the extensions of a chunk are too large"];
  return [400, "that is not HTTP/1.1"];
}
