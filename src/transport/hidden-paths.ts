import type { HostChange } from "../ports/transport.ts";

/**
 * Files of a change that not everybody on a host may read, as far as is known of those that are deleted. No checksum of
 * them may be in a command line, which everybody may read: whoever guesses a password would know when it is right.
 */
export function hiddenPaths({ apps }: HostChange): ReadonlySet<string> {
  const sent = apps.flatMap(({ send }) => send).filter(({ kind, mode }) => kind === "file" && (mode & 0o004) === 0);
  return new Set([...sent.map(({ path }) => path), ...apps.flatMap((app) => app.delete)]);
}
