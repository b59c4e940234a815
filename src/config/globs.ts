import picomatch from "picomatch";

/**
 * Whether a path on a host (without the leading slash, as in a manifest) is meant by one of the globs: of
 * the whole path when the glob has a slash, else of the file's name. Names that begin with a dot are meant too.
 */
export function globs(patterns: readonly string[]): (path: string) => boolean {
  const matchers = patterns.map((pattern) => picomatch(anchored(pattern), { dot: true, nonegate: true }));
  return (path) => matchers.some((matches) => matches(path));
}

function anchored(pattern: string): string {
  // The root itself is no file, and nothing at all is no pattern.
  if (pattern === "/") return pattern;
  return pattern.startsWith("/") ? pattern.slice(1) : `**/${pattern}`;
}
