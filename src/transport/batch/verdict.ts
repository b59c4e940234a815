import type { ProcessResult } from "../process.ts";
import { isAccountFault, runError } from "../rsync-errors.ts";
import { SAYS } from "./batch-functions.ts";
import type { Hindrance } from "./plain-hosts.ts";

/** A file that is not as it should be: its number in a batch, or among those that are replaced. */
export interface WrongFile {
  /** The number of the batch. */
  readonly list: number | "replaced";
  readonly index: number;
  readonly is: "missing" | "kind" | "content" | "mode" | "owner";
}

/** What a host made of a batch. */
export interface Verdict {
  /** Undefined when all is on the host as it should be. */
  readonly hindrance: Hindrance | undefined;
  /** As far as the host told them. */
  readonly wrong: readonly WrongFile[];
}

const FILE = new RegExp(`^${SAYS} file (\\d+|replaced) (\\d+) (\\w+)$`);
const FAULTS: ReadonlySet<string> = new Set<WrongFile["is"]>(["missing", "kind", "content", "mode", "owner"]);

const CONFLICTS: ReadonlyMap<string, string> = new Map([
  ["root", "the root folder cannot be entered"],
  ["parents", "a folder on the way is a symlink"],
  ["deletes", "a file to delete is a folder"],
  ["content", "files are not as last synced"],
]);

/** rsync's exit codes for options, protocols and actions that it does not know. */
const CANNOT: ReadonlySet<number> = new Set([1, 2, 4]);

/** Of a command that came to its end; throws why the host was not reached, as ssh says it. What it says is the host's: nothing of it goes on but words that are known here. */
export function readVerdict(result: ProcessResult): Verdict {
  const lines = result.stdout.split("\n").filter((line) => line.startsWith(`${SAYS} `));
  const wrong = lines.flatMap(wrongFile);
  const words = lines.at(-1)?.split(/\s+/).slice(1) ?? [];
  if (words[0] === "applied" && result.exitCode === 0) return { hindrance: undefined, wrong: [] };
  const error = words.length === 0 ? runError(result) : null;
  if (error?.info.state === "Unreachable") throw error;
  return { hindrance: hindranceOf(words, result), wrong };
}

function wrongFile(line: string): WrongFile[] {
  const [, list, index, is] = FILE.exec(line) ?? [];
  if (!isFault(is)) return [];
  return [{ list: list === "replaced" ? list : Number(list), index: Number(index), is }];
}

function isFault(word: string | undefined): word is WrongFile["is"] {
  return word !== undefined && FAULTS.has(word);
}

function hindranceOf([word, what = "", ...more]: readonly string[], result: ProcessResult): Hindrance {
  if (word === "lacks") return lacking(what);
  if (word === "conflict") return { text: CONFLICTS.get(what) ?? "the host is not as expected", lasts: "once" };
  if (word === "wrong") return { text: "files were not right after the batch", lasts: "surprise" };
  if (word === "failed" && what === "rsync") return rsyncFailed(more);
  if (word === "failed") return { text: "a file could not be deleted", lasts: "once" };
  if (isAccountFault(result.stderr)) return { text: "an account is missing on the host", lasts: "once" };
  if (runError(result)?.reason === "SudoDenied") return { text: "sudo does not allow sh", lasts: "host" };
  // It was ended in the middle, or never had a shell that runs what it is asked to.
  const isEnded = result.exitCode === null || word === "ready" || word === "unheard";
  return { text: isEnded ? "the script did not end well" : "the host does not run the script", lasts: "surprise" };
}

function lacking(program: string): Hindrance {
  if (program === "head") return { text: "head on the host reads ahead", lasts: "host", ofLongOnes: true };
  const isKnown = ["sha256sum", "stat", "readlink"].includes(program);
  return { text: isKnown ? `the host has no ${program}` : "the host lacks a program", lasts: "host" };
}

function rsyncFailed([code = "", ...said]: readonly string[]): Hindrance {
  const number = /^\d{1,3}$/.test(code) ? Number(code) : -1;
  const version = /\bversion v?(\d[\w.]{0,20})/.exec(said.join(" "))?.[1];
  if (CANNOT.has(number)) return { text: `rsync${version ? ` ${version}` : ""} cannot read the batch`, lasts: "host" };
  if (number === 126 || number === 127) return { text: "rsync does not start on the host", lasts: "once" };
  if (number === 30) return { text: "rsync waited in vain for the batch", lasts: "once" };
  if (number === -1) return { text: "rsync did not end well on the host", lasts: "once" };
  // Disks, rights, folders in the way: what rsync says in its other way names them.
  return { text: `rsync ended with ${number} on the host`, lasts: number === 12 ? "surprise" : "once" };
}
