import { type FSWatcher, watch } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Logger } from "pino";
import { parse } from "yaml";
import type { AppId } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { QueryResult, Source } from "./source.ts";

const LARGEST = 64 * 1024 * 1024;
/** A file is written in several steps; wait until it is quiet, ms. */
const QUIET = 100;

/** A YAML or JSON file with a list of host objects. */
export class FileSource implements Source {
  readonly guarded = true;
  readonly strictKeys = true;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor({ path, clock, log }: { path: string; clock: Clock; log: Logger }) {
    this.#path = path;
    this.#clock = clock;
    this.#log = log;
  }

  async ask(apps: readonly AppId[]): Promise<readonly QueryResult[]> {
    return [{ apps, whole: true, entries: await this.#entries() }];
  }

  /**
   * Watches the folder, not the file: editors and Kubernetes put a new file in the old one's place.
   * Where watching is impossible, the interval has to do.
   */
  watch(changed: () => void): Disposable {
    let pending: Disposable | null = null;
    let watcher: FSWatcher | null = null;
    const mine = new Set([null, basename(this.#path), "..data"]);
    const settle = (_event: string, name: string | null) => {
      if (!mine.has(name)) return;
      pending?.[Symbol.dispose]();
      pending = this.#clock.after(QUIET, changed);
    };
    const unwatchable = (error: unknown) =>
      this.#log.warn(
        { file: this.#path, err: error },
        "the inventory file cannot be watched; it is read each interval",
      );
    try {
      watcher = watch(dirname(this.#path), { persistent: false }, settle).on("error", unwatchable);
    } catch (error) {
      unwatchable(error);
    }
    return {
      [Symbol.dispose]() {
        watcher?.close();
        pending?.[Symbol.dispose]();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #entries(): Promise<readonly unknown[] | FssyncError> {
    try {
      if ((await stat(this.#path)).size > LARGEST) return this.#failed("is larger than 64 MiB");
      const content = parseList(await readFile(this.#path, "utf8"));
      return Array.isArray(content) ? content : this.#failed("is no list of host objects");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const why = code === "ENOENT" ? "is missing" : `cannot be read: ${firstLine(error)}`;
      return this.#failed(why, error);
    }
  }

  #failed(why: string, cause?: unknown): FssyncError {
    return new FssyncError("InventoryFailed", `the inventory file ${this.#path} ${why}`, { cause });
  }
}

/** JSON is YAML, but its own parser is much faster with 10,000 hosts. */
function parseList(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return parse(text, { maxAliasCount: 100 });
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return parse(text, { maxAliasCount: 100 });
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}
