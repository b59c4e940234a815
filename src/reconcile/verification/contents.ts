import { createHash } from "node:crypto";
import type { AppKey } from "../../model/app.ts";
import type { Host } from "../../model/host.ts";
import { isSecret } from "../../plan/drift.ts";
import type { ContentPair } from "../../plan/verify-report.ts";
import type { GitSource } from "../../ports/git-source.ts";
import type { Transport, WorkOptions } from "../../ports/transport.ts";
import type { AppFinding, FoundFile } from "./looks.ts";

/** A larger file is not shown, bytes. */
const LIMIT = 64 * 1024;
/** Files of one host that are shown. */
const SHOWN = 20;
/** Bytes that are kept for one who asks, whatever the fleet. */
const BUDGET = 16 * 1024 * 1024;

/** What Git and hosts have of changed files, for one who asks: each pair is read and kept once, however many hosts have it. */
export class Contents {
  readonly #parts: { readonly source: GitSource; readonly transport: Transport };
  readonly #pairs = new Map<string, ContentPair>();
  /** Being read from some host: what the others have is the same. */
  readonly #reading = new Set<string>();
  #left: number;
  #full = false;

  constructor(parts: { readonly source: GitSource; readonly transport: Transport; readonly budget?: number }) {
    this.#parts = parts;
    this.#left = parts.budget ?? BUDGET;
  }

  /** What is missing of what findings name was too much to be kept. */
  get pairs(): ReadonlyMap<string, ContentPair> {
    return this.#pairs;
  }

  /** The findings with keys at the files whose content differs and may be shown to everybody. Throws as `read` does. */
  async addTo(
    apps: ReadonlyMap<AppKey, AppFinding>,
    host: Host,
    options: WorkOptions,
  ): Promise<ReadonlyMap<AppKey, AppFinding>> {
    const shown = [...apps.values()].flatMap(({ files }) => files.filter(mayBeShown)).slice(0, SHOWN);
    const keys = new Map(shown.map((file) => [file, keyOf(file)]));
    const unknown = shown.filter((file) => !this.#full && !this.#isKnown(file));
    for (const [file, key] of await this.#read(unknown, host, options)) {
      if (key === null) keys.delete(file);
      else keys.set(file, key);
    }
    const named = (file: FoundFile) => ({ ...file, ...(keys.has(file) && { contents: keys.get(file)! }) });
    return new Map([...apps].map(([app, finding]) => [app, { ...finding, files: finding.files.map(named) }]));
  }

  #isKnown(file: FoundFile): boolean {
    const key = keyOf(file);
    return checksumOf(file) !== "" && (this.#pairs.has(key) || this.#reading.has(key));
  }

  /** By file the key of what was read; null where there is nothing to be shown. */
  async #read(files: readonly FoundFile[], host: Host, options: WorkOptions): Promise<Map<FoundFile, string | null>> {
    const read = new Map<FoundFile, string | null>();
    if (files.length === 0) return read;
    const { source, transport } = this.#parts;
    const keys = files.map(keyOf);
    for (const key of keys) this.#reading.add(key);
    try {
      const paths = files.map(({ entry }) => entry.path);
      const [onHost, inGit] = await Promise.all([
        transport.read(host, paths, { ...options, limit: LIMIT }),
        Promise.all(files.map(({ entry }) => source.content(entry.blob, LIMIT))),
      ]);
      for (const [index, file] of files.entries()) {
        const [git, found] = [inGit[index], onHost[index]];
        read.set(file, git && found ? this.#keep(file, { git, host: found }) : null);
      }
      return read;
    } finally {
      for (const key of keys) this.#reading.delete(key);
    }
  }

  /** Under its own checksum: the file may have changed since it was looked at, and a large one has none yet. */
  #keep({ entry }: FoundFile, pair: ContentPair): string {
    const key = keyFor(entry.blob, createHash("sha256").update(pair.host).digest("hex"));
    if (this.#pairs.has(key)) return key;
    const bytes = pair.git.length + pair.host.length;
    this.#full ||= bytes > this.#left;
    if (this.#full) return key;
    this.#left -= bytes;
    this.#pairs.set(key, pair);
    return key;
  }
}

function keyOf(file: FoundFile): string {
  return keyFor(file.entry.blob, checksumOf(file));
}

function keyFor(blob: string, checksum: string): string {
  return `${blob} ${checksum}`;
}

/** Empty for a file that was too large to be read when it was looked at. */
function checksumOf({ fact }: FoundFile): string {
  return "checksum" in fact ? (fact.checksum ?? "") : "";
}

function mayBeShown(file: FoundFile): boolean {
  if (file.change !== "content" && file.change !== "conflict") return false;
  return file.entry.kind === "file" && file.fact.kind === "file" && !isSecret(file);
}
