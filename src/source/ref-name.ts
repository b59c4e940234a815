import { FssyncError } from "../model/errors.ts";

const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

export function isObjectId(text: string): boolean {
  return COMMIT.test(text);
}

/** Git's own rule for branch names (git-check-ref-format), so that a name can be put into a refspec. */
export function checkBranch(name: string): string {
  // oxlint-disable-next-line no-control-regex
  const bad = /[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|^[-/]|[/.]$|\.lock(\/|$)|(^|\/)\.|^@$/;
  if (name === "" || bad.test(name)) {
    throw new FssyncError("InvalidSpec", `spec.git.branch: ${JSON.stringify(name)} is no branch name`);
  }
  return name;
}
