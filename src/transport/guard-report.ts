import type { AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import { displayPath } from "../model/path.ts";
import type { FoundReplaced } from "../ports/transport.ts";
import { GUARDED, HOME, KEPT_IN_HOME, KEPT_IN_ROOT, REPLACED, UNKEPT } from "./guard-script.ts";
import type { Guard } from "./guard.ts";
import { runError } from "./rsync-errors.ts";

export interface GuardReport {
  /** Whether every file was looked at. */
  readonly done: boolean;
  readonly replaced: readonly (readonly [AppKey, FoundReplaced])[];
  /** Apps with files that were changed and could not be kept: nothing of these apps may be sent. */
  readonly unkept: ReadonlyMap<AppKey, FssyncError>;
  /** The other lines: somebody else's. */
  readonly rest: string;
}

const LINE = new RegExp(
  `^(?:${GUARDED}|${HOME} (?<home>.*)|(?<word>${REPLACED}|${UNKEPT}) (?<number>\\d+) (?<text>.*))$`,
);

/** What the guard on a host with this root said, among other lines. */
export function parseGuardReport(text: string, guard: Guard, root: string): GuardReport {
  const replaced: [AppKey, FoundReplaced][] = [];
  const unkept = new Map<AppKey, FssyncError>();
  const rest: string[] = [];
  let home = "";
  let done = false;
  for (const line of text.split("\n")) {
    const match = LINE.exec(line)?.groups;
    const file = guard.files[Number(match?.number)];
    if (!match) rest.push(line);
    else if (match.home !== undefined) home = match.home;
    else if (match.word === REPLACED && file) replaced.push([file.app, found(file.path, match.text!, root, home)]);
    else if (match.word === UNKEPT && file && !unkept.has(file.app))
      unkept.set(file.app, notKept(file.path, match.text!));
    else if (line === GUARDED) done = true;
  }
  return { done, replaced, unkept, rest: rest.join("\n") };
}

function found(path: string, where: string, root: string, home: string): FoundReplaced {
  const [place, stamp] = where.split(" ");
  if (place === "none") return { path };
  const folder = place === "root" ? `${root}/${KEPT_IN_ROOT}` : `${home}/${KEPT_IN_HOME}`;
  return { path, kept: `${folder.replace(/^\/+/, "/")}/${path}.${stamp}` };
}

function notKept(path: string, why: string): FssyncError {
  const error = runError({ exitCode: null, stderr: why });
  const reason = error && error.reason !== "RsyncFailed" ? error.reason : "PartialTransfer";
  const message = `${displayPath(path)} was changed on the host and could not be kept (${why}); drift.keep: 0 goes without`;
  return new FssyncError(reason, message);
}
