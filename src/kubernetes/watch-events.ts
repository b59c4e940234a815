import type { KubernetesObject } from "@kubernetes/client-node";
import { refused } from "./api-error.ts";
import type { OpenAnswer } from "./client.ts";

/** An object of ours is below 100 KiB, any object of Kubernetes below 2 MiB. */
const LONGEST_LINE = 16 * 1024 * 1024;

/** As the API server sends it: plain JSON, so dates are strings. */
export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: KubernetesObject;
}

/**
 * The events of a watch, one JSON document a line; ends with the answer, and ends the answer when its
 * reader goes. Throws ApiError for an ERROR event (410: the version is too old) and SyntaxError for
 * what is no event.
 */
export async function* eventsOf(answer: OpenAnswer): AsyncGenerator<WatchEvent> {
  for await (const line of linesOf(answer)) {
    if (line.trim() === "") continue;
    const { type, object } = JSON.parse(line) as { type: unknown; object: unknown };
    if (type === "ERROR") {
      const { code } = (object ?? {}) as { code?: unknown };
      throw refused({ status: typeof code === "number" ? code : 500, headers: {}, body: JSON.stringify(object) });
    }
    if (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED" && type !== "BOOKMARK") {
      throw new SyntaxError(`an event of type ${JSON.stringify(type)}`);
    }
    yield { type, object: object as KubernetesObject };
  }
}

async function* linesOf(answer: OpenAnswer): AsyncGenerator<string> {
  answer.setEncoding("utf8");
  let rest = "";
  for await (const chunk of answer) {
    const lines = (rest + (chunk as string)).split("\n");
    rest = lines.pop()!;
    if (rest.length > LONGEST_LINE) throw new SyntaxError(`an event longer than ${LONGEST_LINE} bytes`);
    yield* lines;
  }
  // What is left was cut off with the connection: the next watch tells it again.
}
