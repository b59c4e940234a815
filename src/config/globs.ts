import { posix } from "node:path";

/**
 * Whether a path on a host (without the leading slash, as in a manifest) is meant by one of the globs: of
 * the whole path when the glob has a slash, else of the file's name.
 */
export function globs(patterns: readonly string[]): (path: string) => boolean {
  if (patterns.length === 0) return () => false;
  return (path) =>
    patterns.some((pattern) =>
      pattern.includes("/")
        ? posix.matchesGlob(`/${path}`, pattern.startsWith("/") ? pattern : `/**/${pattern}`)
        : posix.matchesGlob(posix.basename(path), pattern),
    );
}
