import { z } from "zod";
import { Problem } from "../problem.ts";
import { AppPath } from "../schemas/lists.ts";

export const FilePath = AppPath.extend({
  "*": z.string().min(1).describe("Path of the file below the host's root, without the leading slash."),
});

export const ContentQuery = z.strictObject({
  revision: z
    .string()
    .regex(/^(?:.{1,255}@sha1:)?[0-9a-f]{40}$/, "expected 40 hex digits, or branch@sha1: and 40 hex digits")
    .optional()
    .describe("A commit of the branch, in full, or a revision as the API says it; the newest one when absent."),
});

const bytes = z.string().meta({ format: "binary" });

export function bytesOf(description: string, type: string) {
  return { description, content: { [type]: { schema: bytes } } };
}

export const NOT_MODIFIED = z.null().describe("The client has it already: `If-None-Match` says so.");

/** What asking for content can be answered with besides content. */
export const CONTENT_PROBLEMS = {
  400: Problem,
  401: Problem,
  403: Problem,
  404: Problem,
  408: Problem,
  409: Problem,
  413: Problem,
  429: Problem,
  500: Problem,
  503: Problem,
};
