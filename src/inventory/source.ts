import type { AppId } from "../model/app.ts";
import type { FssyncError } from "../model/errors.ts";

/** Where hosts come from. It asks and gives back what was said, entry by entry; it believes nothing yet. */
export interface Source extends AsyncDisposable {
  /** Whether an answer can be wrong without failing. What the user wrote into the configuration is meant. */
  readonly guarded: boolean;
  /** Whether a key that a host object does not have is a mistake. */
  readonly strictKeys: boolean;
  /** One result for every query that these apps need; failures are results. Throws Interrupted on abort. */
  ask(apps: readonly AppId[], signal: AbortSignal): Promise<readonly QueryResult[]>;
  watch?(changed: () => void): Disposable;
}

export interface QueryResult {
  /** The apps that the query was asked for. */
  readonly apps: readonly AppId[];
  /** One query for all apps: each entry must say which app it belongs to. */
  readonly whole: boolean;
  /** Texts or host objects, not validated; or why there are none. */
  readonly entries: readonly unknown[] | FssyncError;
  /** Set when nothing was asked, because the queries before it had no answer. */
  readonly skipped?: boolean;
}
