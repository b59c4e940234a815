import picomatch from "picomatch";

/** What of a pattern has a meaning of its own; without it the pattern is a name. */
const MAGIC = /[*?[{(!]/;

/**
 * Whether a path on a host (without the leading slash, as in a manifest) is meant by one of the globs: of
 * the whole path when the glob has a slash, else of the file's name. What is a folder means all below it.
 * Names that begin with a dot are meant too.
 */
export function globs(patterns: readonly string[]): (path: string) => boolean {
  const matchers = patterns.flatMap(anchored).map((pattern) => picomatch(pattern, { dot: true, nonegate: true }));
  return (path) => matchers.some((matches) => matches(path));
}

/** What keeps a glob from ever meaning a file of a host; undefined when nothing does. */
export function globMistake(pattern: string): string | undefined {
  if (pattern.trim() !== pattern || pattern === "" || /^\/+$/.test(pattern))
    return "expected a glob such as `/etc/ssl/**` or `*.bak`";
  const dots = pattern.split("/").some((part) => part === "." || part === "..");
  return dots ? "expected a glob without `.` and `..`: paths begin at the host's root" : undefined;
}

function anchored(pattern: string): string[] {
  const plain = pattern.replace(/\/+$/, "");
  const from = plain.startsWith("/") ? plain.slice(1) : `**/${plain}`;
  return MAGIC.test(plain) && plain === pattern ? [from] : [from, `${from}/**`];
}
