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

/** The contents of blobs one after the other, in pieces of which none spans two; one git reads all. Throws GitFailure. */
export async function* readBlobs(git: Git, blobs: readonly string[]): AsyncGenerator<Buffer, void, undefined> {
  for (const blob of blobs) checkBlobId(blob);
  await using reader = new ObjectReader(git);
  reader.request(blobs);
  for (let left = blobs.length; left > 0; left -= 1) {
    const header = await reader.next();
    checkIsBlob(header);
    yield* reader.pieces(header);
  }
}

/** What is none could end a line of `cat-file`'s input, or name another object. */
export function checkBlobId(text: string): void {
  if (!isObjectId(text)) throw new FssyncError("SourceUnavailable", `${JSON.stringify(text)} is no blob id`);
}

export function checkIsBlob({ id, type }: ObjectHeader): void {
  if (type !== "blob") throw new FssyncError("SourceUnavailable", `${id} is a ${type}, not a blob`);
}
