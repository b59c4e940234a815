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
  const operands = ["-e", oldReceiver(nowhere), "--", `${list.source}/`, "nowhere:./"];
  return [...writeOptions(options), ...listArgs(list.list), `--only-write-batch=${batch}`, ...operands];
}

/**
 * rsync writes what its receiver can read. From 3.2 on one on the same machine is known to read what 3.1 cannot (longer
 * numbers: `v`, names of root: `u`). So it is started as if it were far away and did not say so.
 */
const OLD_RECEIVER = `cd "$0" && shift && for word do
shift
case $word in -[!-]*e.*)
can=\${word#*e.}
for new in u v; do case $can in *$new*) can=\${can%%$new*}\${can#*$new} ;; esac; done
word=\${word%%e.*}e.$can ;;
esac
set -- "$@" "$word"
done
exec "$@"`;

/** The remote shell of a run that writes to the folder. */
function oldReceiver(folder: string): string {
  return `sh -c ${rsyncWord(OLD_RECEIVER)} ${rsyncWord(folder)}`;
}

/** One word for rsync, which takes a remote shell apart at spaces. */
function rsyncWord(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
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
