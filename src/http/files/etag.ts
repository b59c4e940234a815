/** A strong validator of what has this hash. */
export function strongEtag(hash: string): string {
  return `"${hash}"`;
}

/** Whether `If-None-Match` names what there is: a list, `*`, or weak ones, which compare as strong ones do here (RFC 9110). */
export function hasAlready(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === "*") return true;
  return [...ifNoneMatch.matchAll(/(?:W\/)?("[^"]*")/g)].some(([, tag]) => tag === etag);
}
