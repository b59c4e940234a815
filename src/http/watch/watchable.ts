import { z } from "zod";

/** The answer of a list that can be watched. */
export function watchable<List extends z.ZodType>(list: List) {
  const stream = z
    .string()
    .describe(
      "With `watch=true`: server-sent events. First `added` for each item there is, then `synced`, then `added`, `modified` (data: the item) and `deleted` (data: the fields that name it). To a filter, what comes to match is added and what does not match any more is deleted. A stream that ends is to be asked for again, and tells everything anew.",
    );
  return {
    description: "The items, or a stream of them",
    content: { "application/json": { schema: list }, "text/event-stream": { schema: stream } },
  };
}
