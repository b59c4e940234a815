/** What a repo's specification says of drift; the design's `spec.drift`. */
export interface DriftOptions {
  /** Milliseconds between two looks at one host; 0: only when somebody asks. */
  readonly interval: number;
  readonly action: "report" | "heal";
  /** Hosts looked at at a time. */
  readonly concurrency: number;
  /** Versions of a hand-edited file that are kept on its host; 0: none. */
  readonly keepVersions: number;
  /** Whether a file may differ; the path as in a manifest, without the leading slash. */
  readonly isIgnored: (path: string) => boolean;
}
