import { z } from "zod";
import { ConfigRepo } from "./schema.ts";

/** The JSON Schema of a document as people write it, for editors: what is optional there is optional here. */
export function configRepoJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(ConfigRepo, { io: "input", target: "draft-2020-12" });
  return { ...schema, title: "ConfigRepo" };
}
