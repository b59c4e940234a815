import { appId, appKey, type AppKey } from "../model/app.ts";
import { FssyncError } from "../model/errors.ts";
import { Lru } from "../model/lru.ts";
import type { DesiredApp, Manifest, Refusal } from "../model/manifest.ts";
import { revision } from "../model/revision.ts";
import type { BaseApp, Discovery } from "../ports/git-source.ts";
import type { AttributeReader } from "./check-attr.ts";
import { desiredApp, type ResolvedApps, resolveApps } from "./discover.ts";
import type { Git } from "./git.ts";
import { isFolderName, type Layout, layOut } from "./layout.ts";
import { parseListing } from "./ls-tree.ts";
import { presentCommits } from "./pins.ts";
import { isObjectId } from "./ref-name.ts";

/** Files of all manifests together: about 15 MB. A commit that hosts lag behind is asked for by each of them. */
const BASES = 50_000;
const ABSENT = 2000;
const DISCOVERIES = 4;
const FOLDERS = 50_000;

export interface AppReaderOptions {
  readonly git: Git;
  readonly attributes: AttributeReader;
  readonly branch: string;
  /** Name of the overlay folders. */
  readonly common?: string | undefined;
  /** Where .gitattributes says nothing. */
  readonly owner: string;
  readonly group: string;
  /** The commit that the mirror holds for certain. */
  readonly head: () => string | null;
}

/** What the apps of a commit are, in memory once read: the last commits whole, of older ones the apps asked for. */
export class AppReader {
  readonly #options: AppReaderOptions;
  readonly #discoveries = new Lru<string, Discovery>(DISCOVERIES);
  readonly #bases = new Lru<string, BaseApp>(BASES, ({ manifest }) => 1 + manifest.length);
  /** Apart from those that are there: whoever asks for what never was shall not drive them out. */
  readonly #absent = new Lru<string, null>(ABSENT);
  readonly #folders = new Lru<string, Manifest | null>(FOLDERS, (manifest) => 1 + (manifest?.length ?? 0));
  #resolved: ResolvedApps = new Map();

  constructor(options: AppReaderOptions) {
    this.#options = options;
  }

  /** Undefined when the commit was not read whole of late. */
  known(commit: string): Discovery | undefined {
    return this.#discoveries.get(commit);
  }

  /** Throws SourceUnavailable for a commit that is not in the mirror, EmptyTree for one without an app. */
  async discover(commit: string): Promise<Discovery> {
    const known = this.#discoveries.get(commit);
    if (known !== undefined) return known;
    const layout = await this.#layout(commit, [], this.#options.common);
    if (layout === null) throw new FssyncError("SourceUnavailable", `Commit ${commit} is not in the mirror`);
    if (layout.apps.length === 0) throw new FssyncError("EmptyTree", `Commit ${commit} holds no app (mod/env/app)`);
    this.#resolved = await this.#resolve(layout, this.#resolved);
    return remember(this.#discoveries, commit, this.#discovery(commit, layout, this.#resolved));
  }

  /** Null when the commit or the app in it is not there. */
  async appAt(app: AppKey, commit: string): Promise<BaseApp | null> {
    const discovery = this.#discoveries.get(commit);
    if (discovery !== undefined) {
      const there = discovery.apps.get(app);
      return there === undefined ? null : baseOf(there);
    }
    const key = `${commit} ${app}`;
    const known = this.#bases.get(key) ?? this.#absent.get(key);
    if (known !== undefined) return known;
    if (!canBe(app)) return null;
    const layout = await this.#layout(commit, this.pathsOf(app), this.#options.common);
    // It may be fetched yet.
    if (layout === null) return null;
    const apps = layout.apps.filter((folder) => appKey(folder) === app);
    const found = (await this.#resolve({ ...layout, apps }, this.#resolved)).get(app);
    if (found) return remember(this.#bases, key, baseOf(found.app));
    return remember(this.#absent, key, null);
  }

  /** The folder as it stands in Git, without overlays. Null when the commit or the folder is not there. */
  async folderAt(folder: AppKey, commit: string): Promise<Manifest | null> {
    const key = `${commit} ${folder}`;
    const known = this.#folders.get(key);
    if (known !== undefined) return known;
    if (!canBe(folder)) return null;
    // Without overlays every folder is an app.
    const layout = await this.#layout(commit, this.pathsOf(folder), undefined);
    const apps = layout?.apps.filter((one) => appKey(one) === folder) ?? [];
    const resolved = layout && (await this.#resolve({ ...layout, apps }, new Map()));
    return remember(this.#folders, key, resolved?.get(folder)?.app.manifest ?? null);
  }

  /** An app, its overlay, and the .gitattributes above them. */
  pathsOf(app: AppKey): string[] {
    const { mod, env } = appId(app);
    const { common } = this.#options;
    const above = [".gitattributes", `${mod}/.gitattributes`, `${mod}/${env}/.gitattributes`];
    return [...above, app, ...(common === undefined ? [] : [`${mod}/${env}/${common}`])];
  }

  /** One ls-tree; with `paths`, of these and what lies below them only. Null when the commit is not there. */
  async #layout(commit: string, paths: readonly string[], common: string | undefined): Promise<Layout | null> {
    const { git, head } = this.#options;
    if (!isObjectId(commit)) throw new FssyncError("SourceUnavailable", `${JSON.stringify(commit)} is no commit id`);
    const args = ["ls-tree", "-r", "-t", "-z", "--full-tree", "--end-of-options", commit, ...paths];
    try {
      return layOut(parseListing(await git.run(args)), common);
    } catch (error) {
      if (commit === head() || (await presentCommits(git, [commit])).length > 0) throw error;
      return null;
    }
  }

  #resolve(layout: Layout, before: ResolvedApps): Promise<ResolvedApps> {
    const { attributes, owner, group } = this.#options;
    return resolveApps(layout, before, attributes, { owner, group });
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
}

/** Names that no folder can have are not worth a question to Git. */
export function canBe(folder: AppKey): boolean {
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
