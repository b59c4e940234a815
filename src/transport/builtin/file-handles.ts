import { readFileSync } from "node:fs";

/** For all that is no connection: Git, rsync, HTTP, the store, thousands of files that are read. */
const FOR_OTHERS = 500;

/** Connections that are kept however few handles there are. */
const FEWEST = 8;

let shares = 0;

/** The part of this process's file handles that one of those who keep connections may take: all get the same. */
export class HandleShare implements Disposable {
  /** Files that this process may have open. */
  readonly limit: number;
  #given = false;

  constructor(limit = openFilesLimit()) {
    this.limit = limit;
    shares++;
  }

  /** Connections that may be kept. */
  get connections(): number {
    return Math.max(FEWEST, Math.floor((this.limit - FOR_OTHERS) / shares));
  }

  [Symbol.dispose](): void {
    if (!this.#given) shares--;
    this.#given = true;
  }
}

/** The soft limit, which Node has raised to the hard one at its start. */
function openFilesLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}
