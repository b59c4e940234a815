import { z } from "zod";

/** A parameter as the predecessor's users give it: what they leave empty they do not give. */
export const Name = z.string().optional();

/** The parameters that were given. */
export function given<Query extends Record<string, string | undefined>>(query: Query): Query {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== "")) as Query;
}
