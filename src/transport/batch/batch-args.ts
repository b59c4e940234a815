import { chmodArg, listArgs, type FileList, type Ownership } from "../rsync-args.ts";

/** What the writer and every reader of a batch must agree on; from 3.1 on every rsync knows it. */
const COMMON = ["-lpog", "--checksum", "--numeric-ids"];

/** Seconds without a byte: a reader whose input was cut off would wait for ever. */
const READER_TIMEOUT = 30;

/**
 * Writes what a host needs that has none of the files, whole: what is there already is skipped by the reader. Without
 * `--checksum` here a wrong file of the same size and time would be; a delta could be applied to a file that is not its base.
 */
export function writeArgs({ list, source }: FileList, mode: number | null, batch: string, nowhere: string): string[] {
  return [
    ...COMMON,
    ...listArgs(list),
    // Of 3.1: later ones are refused by older readers.
    "--protocol=31",
    "--whole-file",
    ...(mode === null ? [] : [chmodArg(mode)]),
    `--only-write-batch=${batch}`,
    "--",
    `${source}/`,
    `${nowhere}/`,
  ];
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
