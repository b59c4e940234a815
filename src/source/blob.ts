import { FssyncError } from "../model/errors.ts";
import type { Git } from "./git.ts";
import { type ObjectHeader, ObjectReader } from "./object-reader.ts";
import { isObjectId } from "./ref-name.ts";

/** The content of a blob; null when it has more than `limit` bytes: then none of it is read. Throws GitFailure. */
export async function readBlob(git: Git, blob: string, limit: number): Promise<Buffer | null> {
  checkBlobId(blob);
  await using reader = new ObjectReader(git);
  reader.request([blob]);
  const header = await reader.next();
  checkIsBlob(header);
  return header.size > limit ? null : await reader.content(header);
}

/** What is none could end a line of `cat-file`'s input, or name another object. */
export function checkBlobId(text: string): void {
  if (!isObjectId(text)) throw new FssyncError("SourceUnavailable", `${JSON.stringify(text)} is no blob id`);
}

export function checkIsBlob({ id, type }: ObjectHeader): void {
  if (type !== "blob") throw new FssyncError("SourceUnavailable", `${id} is a ${type}, not a blob`);
}
