import { join, resolve } from "node:path";
import type { Logger } from "pino";
import { appId, appKey, type AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import type { DesiredApp, Manifest, Refusal } from "../model/manifest.ts";
import { revision } from "../model/revision.ts";
import type { Clock } from "../ports/clock.ts";
import type { BaseApp, CommitInfo, Discovery, GitSource } from "../ports/git-source.ts";
import { readBlob, readBlobs } from "./blob.ts";
import { AttributeReader } from "./check-attr.ts";
import { Checksums, type Sum } from "./checksums.ts";
import { Credentials } from "./credentials.ts";
import { type Author, MirrorEditor } from "./editor.ts";
import { desiredApp, holdsObject, type ResolvedApps, resolveApps } from "./discover.ts";
import { Git } from "./git.ts";
import { explain, missingObject, saysDamage } from "./git-failure.ts";
import { History } from "./history.ts";
import { isFolderName, type Layout, layOut } from "./layout.ts";
import { parseListing } from "./ls-tree.ts";
import { Lru } from "../model/lru.ts";
import { Mirror } from "./mirror.ts";
import { presentCommits } from "./pins.ts";
import { checkBranch, isObjectId } from "./ref-name.ts";
import { parseRemoteUrl, redactUrls, type Protocol } from "./remote-url.ts";
import { Snapshots } from "./snapshots.ts";

const BASES = 500;
const ABSENT = 2000;
const DISCOVERIES = 4;
const FOLDERS = 100;

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
  readonly #mirror: Mirror;
  readonly #attributes: AttributeReader;
  readonly #snapshots: Snapshots;
  readonly #checksums: Checksums;
  readonly #history: History;
  readonly #bases = new Lru<string, BaseApp>(BASES);
  /** Apart from those that are there: whoever asks for what never was shall not drive them out. */
  readonly #absent = new Lru<string, null>(ABSENT);
  readonly #discoveries = new Lru<string, Discovery>(DISCOVERIES);
  readonly #folders = new Lru<string, Manifest | null>(FOLDERS);
  #resolved: ResolvedApps = new Map();
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
    this.#mirror = new Mirror({ url, branch: checkBranch(options.branch), dir, git: this.#git, credentials, log });
    this.#attributes = new AttributeReader(this.#git, dir);
    this.snapshotRoot = join(dir, "snapshots");
    this.#snapshots = new Snapshots(this.#git, this.snapshotRoot);
    this.#checksums = new Checksums(this.#git);
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
    const known = this.#discoveries.get(commit);
    if (known !== undefined) return known;
    const discovery = await this.#watched(`Reading commit ${commit}`, "MirrorCorrupt", async () => {
      const layout = await this.#layout(commit, [], this.#options.common);
      if (layout === null) throw new FssyncError("SourceUnavailable", `Commit ${commit} is not in the mirror`);
      if (layout.apps.length === 0) throw new FssyncError("EmptyTree", `Commit ${commit} holds no app (mod/env/app)`);
      this.#resolved = await this.#resolve(layout, this.#resolved);
      return this.#discovery(commit, layout, this.#resolved);
    });
    this.#discoveries.set(commit, discovery);
    return discovery;
  }

  async appAt(app: AppKey, commit: string): Promise<BaseApp | null> {
    await this.#open();
    const discovery = this.#discoveries.get(commit);
    if (discovery !== undefined) {
      const there = discovery.apps.get(app);
      return there === undefined ? null : baseOf(there);
    }
    const key = `${commit} ${app}`;
    const known = this.#bases.get(key) ?? this.#absent.get(key);
    if (known !== undefined) return known;
    if (!canBe(app)) return null;
    return await this.#watched(`Reading ${app} at commit ${commit}`, "SourceUnavailable", async () => {
      const layout = await this.#layout(commit, this.#pathsOf(app), this.#options.common);
      // It may be fetched yet.
      if (layout === null) return null;
      const apps = layout.apps.filter((folder) => appKey(folder) === app);
      const found = (await this.#resolve({ ...layout, apps }, this.#resolved)).get(app);
      if (found) return remember(this.#bases, key, baseOf(found.app));
      return remember(this.#absent, key, null);
    });
  }

  async folderAt(folder: AppKey, commit: string): Promise<Manifest | null> {
    await this.#open();
    const key = `${commit} ${folder}`;
    const known = this.#folders.get(key);
    if (known !== undefined) return known;
    if (!canBe(folder)) return null;
    const found = await this.#watched(`Reading ${folder} at commit ${commit}`, "SourceUnavailable", async () => {
      // Without overlays every folder is an app.
      const layout = await this.#layout(commit, this.#pathsOf(folder), undefined);
      const apps = layout?.apps.filter((one) => appKey(one) === folder) ?? [];
      const resolved = layout && (await this.#resolve({ ...layout, apps }, new Map()));
      return resolved?.get(folder)?.app.manifest ?? null;
    });
    this.#folders.set(key, found);
    return found;
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
    const query = { from: commit, branch: this.#options.branch, paths: this.#pathsOf(app), limit };
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

  /** One ls-tree; with `paths`, of these and what lies below them only. Null when the commit is not there. */
  async #layout(commit: string, paths: readonly string[], common: string | undefined): Promise<Layout | null> {
    if (!isObjectId(commit)) throw new FssyncError("SourceUnavailable", `${JSON.stringify(commit)} is no commit id`);
    const args = ["ls-tree", "-r", "-t", "-z", "--full-tree", "--end-of-options", commit, ...paths];
    try {
      return layOut(parseListing(await this.#git.run(args)), common);
    } catch (error) {
      if (commit === this.#mirror.head || (await presentCommits(this.#git, [commit])).length > 0) throw error;
      return null;
    }
  }

  /** A tree or blob of a commit that nobody pinned may be gone in a sound mirror. */
  #isDamage(error: unknown, wanted: ReadonlySet<string>): boolean {
    if (!saysDamage(error)) return false;
    const missing = missingObject(error);
    if (missing === undefined || !wanted.has(missing)) return true;
    const current = this.#discoveries.get(this.#mirror.head ?? "")?.apps.values();
    return current?.some((app) => holdsObject(app, missing)) ?? false;
  }

  /** An app, its overlay, and the .gitattributes above them. */
  #pathsOf(app: AppKey): string[] {
    const { mod, env } = appId(app);
    const { common } = this.#options;
    const above = [".gitattributes", `${mod}/.gitattributes`, `${mod}/${env}/.gitattributes`];
    return [...above, app, ...(common === undefined ? [] : [`${mod}/${env}/${common}`])];
  }

  #resolve(layout: Layout, before: ResolvedApps): Promise<ResolvedApps> {
    const { owner, group } = this.#options;
    return resolveApps(layout, before, this.#attributes, { owner, group });
  }

  #discovery(commit: string, layout: Layout, resolved: ResolvedApps): Discovery {
    const at = revision(this.#options.branch, commit);
    const apps = new Map<AppKey, DesiredApp>();
    const warnings = [...layout.warnings];
    for (const folder of layout.apps) {
      const { app } = resolved.get(appKey(folder))!;
      apps.set(appKey(folder), desiredApp(folder, app, at));
      if (app.refused) warnings.push(app.refused);
    }
    return { commit, revision: at, apps, warnings };
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

/** Names that no folder can have are not worth a question to Git. */
function canBe(folder: AppKey): boolean {
  const names = folder.split("/");
  return names.length === 3 && names.every(isFolderName);
}

function remember<T>(answers: Lru<string, T>, key: string, answer: T): T {
  answers.set(key, answer);
  return answer;
}

function baseOf({ digest, manifest, refused }: Omit<BaseApp, "refused"> & { refused?: Refusal | null }): BaseApp {
  return { digest, manifest, ...(refused && { refused: { reason: refused.reason, message: refused.message } }) };
}
