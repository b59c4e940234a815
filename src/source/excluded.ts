const ANYWHERE = new Set([".gitattributes", ".gitkeep"]);
const AT_THE_TOP = new Set([".gitignore", ".fssync.yaml"]);

/** True for files that are for Git or fssync, not for hosts. `path` is relative to the app or the overlay. */
export function isNeverSent(path: string): boolean {
  return ANYWHERE.has(path.slice(path.lastIndexOf("/") + 1)) || AT_THE_TOP.has(path);
}
