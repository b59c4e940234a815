import type { IncomingHttpHeaders } from "node:http";
import { parse as parseForm } from "node:querystring";
import { HttpProblem } from "../problem.ts";
import { SENDERS, type Sender } from "./senders.ts";

/** What a webhook says: that a branch was pushed or removed, this one when it names one; or something else that moves none. */
export type Message = { readonly push: true; readonly ref?: string } | { readonly push: false; readonly why: string };

/** Fields of a form that are looked at. */
const FIELDS = 16;
/** How much of what a sender calls something is repeated. */
const SHOWN = 100;

/**
 * Reads a webhook whose sender is known. Nothing of the body counts but `ref`, and nothing but that it is equal
 * to something of ours. Throws 400, 415.
 */
export function readMessage(sender: Sender, headers: IncomingHttpHeaders, body: Buffer): Message {
  const { events, meanings } = SENDERS[sender];
  const event = events.map((name) => headers[name]).find((value) => typeof value === "string");
  const meaning = event === undefined ? "push" : meanings.get(event);
  if (!meaning) return { push: false, why: `${shown(event!)} is no push` };
  const ref = refOf(payloadOf(headers["content-type"], body));
  if (ref !== undefined) return { push: true, ref: meaning === "removal" ? `refs/heads/${ref}` : ref };
  return meaning === "push" ? { push: true } : { push: false, why: `${shown(event!)} without a ref is no push` };
}

/** Why this push concerns nothing of ours; null when it does. Without a ref it may be any push. */
export function whyNot({ ref }: { readonly ref?: string }, branch: string): string | null {
  if (ref === undefined || ref === `refs/heads/${branch}`) return null;
  return `${shown(ref)} is not the branch ${branch}`;
}

function refOf(payload: unknown): string | undefined {
  if (payload === undefined) return undefined;
  if (typeof payload !== "object" || payload === null || Array.isArray(payload)) {
    throw new HttpProblem(400, "the body is no JSON object");
  }
  if (!Object.hasOwn(payload, "ref")) return undefined;
  const { ref } = payload as { ref: unknown };
  if (typeof ref === "string") return ref;
  throw new HttpProblem(400, "`ref` is no text: expected refs/heads/<branch>");
}

/** Undefined when there is no body. */
function payloadOf(contentType = "", body: Buffer): unknown {
  if (body.length === 0) return undefined;
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  if (type === "application/json" || type.endsWith("+json")) return jsonOf(body.toString("utf8"));
  if (type !== "application/x-www-form-urlencoded") {
    throw new HttpProblem(415, "expected application/json, or application/x-www-form-urlencoded with `payload`");
  }
  const { payload } = parseForm(body.toString("utf8"), "&", "=", { maxKeys: FIELDS });
  if (typeof payload !== "string") throw new HttpProblem(400, "the form has no `payload`, or more than one");
  return jsonOf(payload);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new HttpProblem(400, "the body is no JSON", { cause });
  }
}

function shown(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
