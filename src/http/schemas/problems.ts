import { Problem } from "../problem.ts";

/** What any request that says who asks can be answered with. */
export const PROBLEMS = {
  400: Problem,
  401: Problem,
  403: Problem,
  408: Problem,
  429: Problem,
  500: Problem,
  503: Problem,
};

/** Where a name in the request may be one that nobody knows. */
export const NAMED_PROBLEMS = { ...PROBLEMS, 404: Problem };
