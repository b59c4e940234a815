import { isUtf8 } from "node:buffer";
import { formatPatch, OMIT_HEADERS, type StructuredPatch, structuredPatch } from "diff";
import { displayPath } from "../model/path.ts";

const CONTEXT = 3;
/** Milliseconds in which the shortest way is looked for: its cost grows with the square of its length. */
const TIMEOUT = 75;
const NO_NEWLINE = "\\ No newline at end of file";

export interface Versions {
  /** As `decodePath` gives it. */
  readonly path: string;
  readonly git: Buffer;
  readonly host: Buffer;
}

/**
 * What a host has against what Git has, in the unified format and for eyes only: what writes to a terminal, or is not
 * seen there, is escaped. Empty when both are the same, null when one of them is no text. Where they have too little
 * in common to be compared in time, all lines of the one stand against all lines of the other.
 */
export function unifiedDiff({ path, git, host }: Versions): string | null {
  if (!isText(git) || !isText(host)) return null;
  if (git.equals(host)) return "";
  const [before, after] = [git.toString("utf8"), host.toString("utf8")];
  const options = { context: CONTEXT, timeout: TIMEOUT };
  const shortest = structuredPatch("", "", before, after, undefined, undefined, options);
  const body = formatPatch(shortest ?? replaceAll(before, after), OMIT_HEADERS);
  // jsdiff's own headers quote names as git does, which nobody can read.
  const name = displayPath(path);
  return escapeUnseen(`--- git/${name}\n+++ host/${name}\n${body}`);
}

function isText(content: Buffer): boolean {
  return isUtf8(content) && !content.includes(0);
}

function replaceAll(before: string, after: string): StructuredPatch {
  const [removed, added] = [linesOf(before), linesOf(after)];
  const lines = [...removed.map((line) => `-${line}`), ...added.map((line) => `+${line}`)].flatMap(endOfFile);
  const hunk = { oldStart: 1, oldLines: removed.length, newStart: 1, newLines: added.length, lines };
  return { oldFileName: "", newFileName: "", oldHeader: undefined, newHeader: undefined, hunks: [hunk] };
}

/** With their newlines, which only the last one may lack. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function endOfFile(line: string): string[] {
  return line.endsWith("\n") ? [line.slice(0, -1)] : [line, NO_NEWLINE];
}

/** Newline and tab stay; other control characters, those that turn the direction of text, and unseen ones are escaped. */
function escapeUnseen(text: string): string {
  return text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return code.length > 2 ? `\\u{${code}}` : `\\x${code.padStart(2, "0")}`;
  });
}
