/** Milliseconds since the epoch as Kubernetes writes a time. */
export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
