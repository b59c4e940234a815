/** Changes one file of the branch: a commit on top of the newest one, pushed. */
export interface GitEditor {
  /**
   * Asks `edit` for the new content of the file at the newest commit (null: there is none, or there shall be
   * none), and says whether .gitattributes call it secret there; commits and pushes; when the branch has moved meanwhile, all of it again. Returns the commit; null
   * when `edit` changed nothing. What `edit` throws comes through. Changes come one after the other. Throws
   * NotEditable for what is no plain file or larger than 1 MiB, PushFailed, and what `GitSource.poll` throws.
   */
  commit(change: FileChange, signal: AbortSignal): Promise<string | null>;
}

export interface FileChange {
  /** In the repo, `env/prod/web/etc/app.conf`. */
  readonly path: string;
  readonly edit: (before: Buffer | null, is: { readonly secret: boolean }) => Buffer | null;
  readonly message: string;
}
