import { chmodArg, listArgs, type FileList, type Ownership } from "../rsync-args.ts";

/** What the writer and every reader of a batch must agree on; from 3.1 on every rsync knows it. */
const COMMON = ["-lpog", "--checksum", "--numeric-ids"];

/** Seconds without a byte: a reader whose input was cut off would wait for ever. */
const READER_TIMEOUT = 30;

export interface WriteOptions {
  readonly list: FileList;
  /** Permission bits for all files; null when those of the snapshot are right. */
  readonly mode: number | null;
  readonly compress: boolean;
}

/** Everything but the list that decides what a batch holds. */
export function writeOptions({ mode, compress }: Omit<WriteOptions, "list">): string[] {
  return [
    ...COMMON,
    // Of 3.1: later ones are refused by older readers.
    "--protocol=31",
    "--whole-file",
    // Once here, for less to be encrypted for each host. Readers find it in the batch.
    ...(compress ? ["-z"] : []),
    ...(mode === null ? [] : [chmodArg(mode)]),
  ];
}

/**
 * Writes what a host needs that has none of the files, whole: what is there already is skipped by the reader. Without
 * `--checksum` here a wrong file of the same size and time would be; a delta could be applied to a file that is not its
 * base. `nowhere` is an empty folder.
 */
export function writeArgs({ list, ...options }: WriteOptions, batch: string, nowhere: string): string[] {
  const operands = ["--", `${list.source}/`, `${nowhere}/`];
  return [...writeOptions(options), ...listArgs(list.list), `--only-write-batch=${batch}`, ...operands];
}

/** Words of a shell command that lays a batch on standard input under the folder it runs in. */
export function readWords({ owner, group }: Ownership, files: number): string[] {
  return [
    "--read-batch=-",
    ...COMMON,
    // Missing folders are made, those that are there keep their attributes.
    "-R",
    "--no-implied-dirs",
    `--timeout=${READER_TIMEOUT}`,
    // A single file is put in place in one go anyway.
    ...(files > 1 ? ["--delay-updates"] : []),
    `--chown=${owner}:${group}`,
    "./",
  ];
}
