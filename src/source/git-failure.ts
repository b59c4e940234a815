import { FssyncError, type Reason } from "../model/errors.ts";
import { redactUrls } from "./remote-url.ts";

export type GitEnd = "exit" | "aborted" | "timeout" | "too much output";

/** A git process that did not succeed. Internal to this room: outside it is an `FssyncError`. */
export class GitFailure extends Error {
  readonly command: string;
  readonly end: GitEnd;
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly stderr: string;
  /** The paths it was asked about. They may be anybody's words, which git repeats. */
  readonly paths: readonly string[];

  constructor(command: string, end: GitEnd, exitCode: number | null, stderr: string, paths: readonly string[] = []) {
    super(`git ${command}: ${firstUsefulLine(stderr) || endText(end, exitCode)}`);
    this.name = "GitFailure";
    this.command = command;
    this.end = end;
    this.exitCode = exitCode;
    this.stderr = stderr;
    this.paths = paths;
  }
}

/** Progress, hints and chatter, which explain nothing. */
const NOISE =
  /^(?:(?:remote: )?(?:Enumerating|Counting|Compressing|Total|Receiving|Resolving|Unpacking|Writing|Delta)\b|From |hint:|warning:|POST |Warning: Permanently added)/;
const NO_SPACE = /No space left on device|Out of diskspace|Disk quota exceeded|ENOSPC|EDQUOT/;
const EXHAUSTED =
  /\b(?:EAGAIN|EMFILE|ENFILE|ENOMEM)\b|Too many open files|Cannot allocate memory|fork: retry|cannot fork/;
const DAMAGE =
  /is corrupt|corrupt loose|inflate: data stream error|bad object|bad tree object|missing (?:blob|tree|commit|object|necessary)|unable to read (?:tree|sha1|.*object)|not a git repository|does not match index|is too small|file .*\.(?:idx|pack) |bad (?:signature|index file)|hash mismatch|garbage at end of loose|unable to (?:unpack|parse) .*(?:header|object)|invalid object|index CRC mismatch|packfile .* (?:invalid|cannot|truncated)|not a tree object|broken (?:ref|links?)|Could not read [0-9a-f]{40}/i;

/** From the first mark to the last: a name may hold marks too. */
const QUOTED = /(?<!\w)'.*'(?!\w)|(?<!\w)".*"(?!\w)/g;

/** The first line of stderr that says why, without control characters and credentials. */
export function firstUsefulLine(stderr: string): string {
  const lines = stderr.split(/[\r\n]+/).map((line) => line.trim());
  return shown(lines.find((candidate) => candidate !== "" && !NOISE.test(candidate)) ?? "");
}

/** Why a remote did not take a push, in its own words where it had any. */
export function refusalWords(stderr: string): string {
  const lines = stderr.split(/[\r\n]+/).map((line) => line.trim());
  const said = lines.flatMap((line) => {
    const words = /^remote: *(.*)$/.exec(line)?.[1] ?? "";
    return NOISE.test(line) || !/\p{L}/u.test(words) ? [] : [words];
  });
  const why = lines.map((line) => /^! \[.*\] .*\((.+)\)$/.exec(line)?.[1]).find((text) => text !== undefined);
  const words = [...said, ...(why === undefined ? [] : [why])].join("; ");
  return words === "" ? firstUsefulLine(lines.filter((line) => !line.startsWith("To ")).join("\n")) : shown(words);
}

function shown(text: string): string {
  // oxlint-disable-next-line no-control-regex
  const printable = redactUrls(text).replace(/[\u0000-\u001f\u007f-\u009f]/g, "");
  return printable.length > 300 ? `${printable.slice(0, 299)}…` : printable;
}

/** True when the failure is about the local mirror's own objects or refs, not about the remote. */
export function saysDamage(failure: unknown): boolean {
  return failure instanceof GitFailure && failure.end === "exit" && DAMAGE.test(ownWords(failure));
}

/** The object that `ObjectReader` asked for in vain. */
export function missingObject(failure: unknown): string | undefined {
  return failure instanceof GitFailure ? /^missing object ([0-9a-f]+)$/.exec(failure.stderr)?.[1] : undefined;
}

/** A failure as the operator sees it: `what` says what was tried and on what. */
export function explain(failure: unknown, otherwise: Reason, what: string): FssyncError {
  if (failure instanceof FssyncError) return failure;
  if (!(failure instanceof GitFailure)) {
    const code = (failure as NodeJS.ErrnoException | null)?.code ?? "";
    if (code === "ABORT_ERR") return new FssyncError("Interrupted", `${what}: interrupted`, { cause: failure });
    return new FssyncError(reasonOf(code, otherwise), `${what}: ${(failure as Error).message}`, {
      cause: failure,
    });
  }
  if (failure.end === "aborted") return new FssyncError("Interrupted", `${what}: interrupted`, { cause: failure });
  const why = firstUsefulLine(failure.stderr) || endText(failure.end, failure.exitCode);
  const timedOut = failure.end === "timeout" ? "no answer within git.timeout" : why;
  return new FssyncError(reasonOf(ownWords(failure), otherwise), `${what}: ${timedOut}`, { cause: failure });
}

function reasonOf(text: string, otherwise: Reason): Reason {
  if (NO_SPACE.test(text)) return "ControllerNoSpace";
  if (EXHAUSTED.test(text)) return "ControllerExhausted";
  return otherwise;
}

/**
 * What git itself says of what it has. What the remote says (`remote: …`) is about the remote's disk and objects, and
 * what is quoted, or was asked for, may be called like any failure.
 */
function ownWords({ stderr, paths }: GitFailure): string {
  // The longest first: one may lie in another.
  const asked = paths.filter((path) => path !== "").sort((a, b) => b.length - a.length);
  return asked
    .reduce((text, path) => text.replaceAll(path, ""), stderr)
    .split(/[\r\n]+/)
    .filter((line) => !line.startsWith("remote:"))
    .map((line) => line.replace(QUOTED, ""))
    .join("\n");
}

function endText(end: GitEnd, exitCode: number | null): string {
  if (end !== "exit") return end;
  return exitCode === null ? "ended by a signal" : `exit code ${exitCode}`;
}
