import { join, resolve } from "node:path";
import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import type { Manifest } from "../model/manifest.ts";
import type { Clock } from "../ports/clock.ts";
import type { BaseApp, CommitInfo, Discovery, GitSource } from "../ports/git-source.ts";
import { AppReader, canBe } from "./app-reader.ts";
import { readBlob, readBlobs } from "./blob.ts";
import { AttributeReader } from "./check-attr.ts";
import { Checksums, type Sum } from "./checksums.ts";
import { Credentials } from "./credentials.ts";
import { type Author, MirrorEditor } from "./editor.ts";
import { holdsObject } from "./discover.ts";
import { Git } from "./git.ts";
import { explain, missingObject, saysDamage } from "./git-failure.ts";
import { History } from "./history.ts";
import { Mirror } from "./mirror.ts";
import { checkBranch } from "./ref-name.ts";
import { ObjectReaders } from "./object-readers.ts";
import { parseRemoteUrl, redactUrls, type Protocol } from "./remote-url.ts";
import { Snapshots } from "./snapshots.ts";

export interface GitMirrorSourceOptions {
  readonly url: string;
  readonly branch: string;
  /** Milliseconds: a git process that is silent for longer is ended. */
  readonly timeout: number;
  /** Allows file URLs, paths, and http to the loopback address. */
  readonly allowFileUrls: boolean;
  /** A folder of its own under the data dir. */
  readonly dir: string;
  /** Name of the overlay folders. */
  readonly common?: string | undefined;
  /** Where .gitattributes says nothing. */
  readonly owner: string;
  readonly group: string;
  /** `username` and `password`, or `identity` and `known_hosts`; read at every poll. */
  readonly secret?: (() => Promise<ReadonlyMap<string, string>>) | undefined;
  readonly secretName?: string | undefined;
  /** Of what `editor` commits. */
  readonly author: Author;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Desired state from a bare mirror of one branch. The constructor throws InvalidSpec and starts nothing. */
export class GitMirrorSource implements GitSource {
  readonly snapshotRoot: string;
  /** Commits to the branch by way of the mirror. */
  readonly editor: MirrorEditor;
  readonly #options: GitMirrorSourceOptions;
  readonly #git: Git;
  readonly #readers: ObjectReaders;
  readonly #mirror: Mirror;
  readonly #attributes: AttributeReader;
  readonly #apps: AppReader;
  readonly #snapshots: Snapshots;
  readonly #checksums: Checksums;
  readonly #history: History;
  #opening: Promise<void> | undefined;

  constructor(options: GitMirrorSourceOptions) {
    const dir = resolve(options.dir);
    const url = parseRemoteUrl(options.url, options);
    const protocols: Protocol[] = ["https", "ssh"];
    if (options.allowFileUrls) protocols.push("file");
    if (url.protocol === "http") protocols.push("http");
    const { clock, timeout, log, secret, secretName } = options;
    this.#options = options;
    this.#git = new Git({ gitDir: join(dir, "git"), cwd: dir, protocols, timeout, clock });
    const credentials = new Credentials({ url, dir: join(dir, "credentials"), secret, secretName, timeout });
    this.#readers = new ObjectReaders({ git: this.#git, generation: () => this.#mirror.generation });
    const [git, readers, branch] = [this.#git, this.#readers, checkBranch(options.branch)];
    this.#mirror = new Mirror({ url, branch, dir, git, readers, credentials, log });
    this.#attributes = new AttributeReader(this.#git, dir);
    this.#apps = new AppReader({
      git: this.#git,
      attributes: this.#attributes,
      branch: options.branch,
      common: options.common,
      owner: options.owner,
      group: options.group,
      head: () => this.#mirror.head,
    });
    this.snapshotRoot = join(dir, "snapshots");
    this.#snapshots = new Snapshots(readers, this.snapshotRoot, clock);
    this.#checksums = new Checksums(readers);
    this.#history = new History(this.#git);
    this.editor = new MirrorEditor({
      git: this.#git,
      mirror: this.#mirror,
      attributes: this.#attributes,
      author: options.author,
      dir,
      where: `${redactUrls(url.text)} for branch ${options.branch}`,
      opened: () => this.#open(),
      contains: (commit) => this.contains(commit),
      clock,
    });
  }

  async poll(signal: AbortSignal): Promise<string> {
    await this.#open();
    return this.#mirror.poll(signal);
  }

  async head(): Promise<string | null> {
    await this.#open();
    return this.#mirror.head;
  }

  async discover(commit: string): Promise<Discovery> {
    await this.#open();
    return this.#watched(`Reading commit ${commit}`, "MirrorCorrupt", () => this.#apps.discover(commit));
  }

  async appAt(app: AppKey, commit: string): Promise<BaseApp | null> {
    await this.#open();
    const what = `Reading ${app} at commit ${commit}`;
    return this.#watched(what, "SourceUnavailable", () => this.#apps.appAt(app, commit));
  }

  async folderAt(folder: AppKey, commit: string): Promise<Manifest | null> {
    await this.#open();
    const what = `Reading ${folder} at commit ${commit}`;
    return this.#watched(what, "SourceUnavailable", () => this.#apps.folderAt(folder, commit));
  }

  async materialize(trees: Iterable<string>): Promise<void> {
    await this.#open();
    const wanted = new Set(trees);
    await this.#watched(
      "Writing a snapshot",
      "SourceUnavailable",
      () => this.#snapshots.make(wanted),
      (error) => this.#isDamage(error, wanted),
    );
  }

  async checksums(blobs: Iterable<string>): Promise<ReadonlyMap<string, string>> {
    const sums = await this.#sums(blobs);
    return new Map([...sums].map(([blob, { checksum }]) => [blob, checksum]));
  }

  async sizes(blobs: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    const sums = await this.#sums(blobs);
    return new Map([...sums].map(([blob, { size }]) => [blob, size]));
  }

  async content(blob: string, limit: number): Promise<Buffer | null> {
    await this.#open();
    return this.#watched(
      `Reading blob ${blob}`,
      "SourceUnavailable",
      () => readBlob(this.#git, blob, limit),
      (error) => this.#isDamage(error, new Set([blob])),
    );
  }

  async *read(blobs: Iterable<string>): AsyncGenerator<Buffer, void, undefined> {
    await this.#open();
    const { generation } = this.#mirror;
    const wanted = [...blobs];
    try {
      yield* readBlobs(this.#git, wanted);
    } catch (error) {
      const isDamage = this.#isDamage(error, new Set(wanted));
      if (isDamage) this.#mirror.reportDamage(generation, error);
      throw explain(error, "SourceUnavailable", "Reading files");
    }
  }

  async contains(commit: string): Promise<boolean> {
    const head = await this.head();
    if (head === null) return false;
    return await this.#watched("Looking for a commit", "SourceUnavailable", () => this.#history.contains(head, commit));
  }

  async history(app: AppKey, limit: number, from?: string): Promise<readonly CommitInfo[]> {
    const commit = from ?? (await this.head());
    if (commit === null || !canBe(app)) return [];
    const query = { from: commit, branch: this.#options.branch, paths: this.#apps.pathsOf(app), limit };
    return await this.#watched(`Reading the history of ${app}`, "SourceUnavailable", () => this.#history.log(query));
  }

  async pin(commits: Iterable<string>): Promise<void> {
    await this.#open();
    await this.#watched("Pinning commits", "SourceUnavailable", () =>
      this.#mirror.exclusive(() => this.#mirror.pins.pin(commits)),
    );
  }

  async collect(keep: { trees: ReadonlySet<string>; commits: ReadonlySet<string> }): Promise<void> {
    await this.#open();
    await this.#watched("Removing what nobody needs", "SourceUnavailable", async () => {
      await this.#snapshots.keepOnly(keep.trees);
      await this.#mirror.exclusive(async () => {
        await this.#mirror.pins.keepOnly(keep.commits);
        await this.#mirror.tidy();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#git[Symbol.asyncDispose]();
    await this.#snapshots[Symbol.asyncDispose]();
    await this.#checksums[Symbol.asyncDispose]();
    await this.#readers[Symbol.asyncDispose]();
  }

  async #sums(blobs: Iterable<string>): Promise<ReadonlyMap<string, Sum>> {
    await this.#open();
    const wanted = new Set(blobs);
    return this.#watched(
      "Reading files for their checksums",
      "SourceUnavailable",
      () => this.#checksums.of(wanted),
      (error) => this.#isDamage(error, wanted),
    );
  }

  #open(): Promise<void> {
    this.#opening ??= this.#openAll().catch((error: unknown) => {
      this.#opening = undefined;
      throw explain(error, "SourceUnavailable", "Opening the mirror's folder");
    });
    return this.#opening;
  }

  async #openAll(): Promise<void> {
    await this.#mirror.open();
    await this.#attributes.open();
    await this.#snapshots.open();
    await this.editor.open();
  }

  /** A tree or blob of a commit that nobody pinned may be gone in a sound mirror. */
  #isDamage(error: unknown, wanted: ReadonlySet<string>): boolean {
    if (!saysDamage(error)) return false;
    const missing = missingObject(error);
    if (missing === undefined || !wanted.has(missing)) return true;
    const current = this.#apps.known(this.#mirror.head ?? "")?.apps.values();
    return current?.some((app) => holdsObject(app, missing)) ?? false;
  }

  /** Runs work on the mirror; damage that shows in it is reported, so that the next poll mends it. */
  async #watched<T>(
    what: string,
    otherwise: "MirrorCorrupt" | "SourceUnavailable",
    work: () => Promise<T>,
    isDamage: (error: unknown) => boolean = saysDamage,
  ): Promise<T> {
    const { generation } = this.#mirror;
    try {
      return await work();
    } catch (error) {
      if (isDamage(error)) this.#mirror.reportDamage(generation, error);
      throw explain(error, isDamage(error) ? otherwise : "SourceUnavailable", what);
    }
  }
}
