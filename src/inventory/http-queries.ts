import type { AppId } from "../model/app.ts";
import { FssyncError, asFssyncError } from "../model/errors.ts";
import { CONNECTIONS, NoAnswer } from "./http-client.ts";
import type { QueryResult } from "./source.ts";

/** So many queries without any answer in a row, and the rest is not asked: each would wait for its time-out. */
const SILENT_QUERIES = 8;

export interface HttpQuery {
  readonly url: URL;
  readonly apps: readonly AppId[];
  readonly whole: boolean;
}

/** Asks all queries, few at a time, in order; failures are results. */
export async function askAll(
  queries: readonly HttpQuery[],
  signal: AbortSignal,
  ask: (query: HttpQuery) => Promise<readonly unknown[]>,
): Promise<QueryResult[]> {
  const results: QueryResult[] = [];
  let next = 0;
  let silent = 0;
  let lastSilence: FssyncError | null = null;
  async function work(): Promise<void> {
    while (next < queries.length && !signal.aborted) {
      const at = next;
      next += 1;
      const query = queries[at]!;
      if (silent >= SILENT_QUERIES) {
        results[at] = { ...query, entries: notAsked(lastSilence!), skipped: true };
        continue;
      }
      const entries = await attempt(query, ask);
      lastSilence = entries instanceof NoAnswer ? entries : lastSilence;
      silent = entries instanceof NoAnswer ? silent + 1 : 0;
      results[at] = { ...query, entries };
    }
  }
  await Promise.all(Array.from({ length: Math.min(CONNECTIONS, queries.length) }, work));
  if (signal.aborted) throw new FssyncError("Interrupted", "the inventory was not asked to the end");
  return results;
}

async function attempt(
  query: HttpQuery,
  ask: (query: HttpQuery) => Promise<readonly unknown[]>,
): Promise<readonly unknown[] | FssyncError> {
  try {
    return await ask(query);
  } catch (error) {
    return asFssyncError(error, "InventoryFailed");
  }
}

function notAsked(silence: FssyncError): FssyncError {
  return new FssyncError(
    "InventoryFailed",
    `${silence.message}; after ${SILENT_QUERIES} such queries no more were asked`,
  );
}
