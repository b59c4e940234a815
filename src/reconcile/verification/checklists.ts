import type { AppKey } from "../../model/app.ts";
import { Lru } from "../../model/lru.ts";
import type { Manifest } from "../../model/manifest.ts";
import { revisionCommit } from "../../model/revision.ts";
import type { Expectation } from "../../plan/drift.ts";
import type { GitSource } from "../../ports/git-source.ts";
import type { InspectedFile } from "../../ports/transport.ts";
import type { FleetApp } from "../desired-apps.ts";
import type { FleetHost } from "../fleet.ts";

/** What is looked for on a host; the same object for all hosts that shall have the same. */
export interface Checklist {
  /** The files of all apps, one app after the other. */
  readonly files: readonly InspectedFile[];
  readonly apps: readonly ListedApp[];
}

interface ListedApp extends Omit<Expectation, "givesAway"> {
  readonly app: AppKey;
  /** Where its files begin in the list. */
  readonly start: number;
}

/** Files of all lists together: about 10 MB. */
const FILES = 25_000;

interface Kept {
  readonly made: Promise<Checklist>;
  readonly manifests: readonly Manifest[];
}

/** Makes checklists, each once. */
export class Checklists {
  readonly #source: GitSource;
  readonly #isIgnored: (path: string) => boolean;
  readonly #lists = new Lru<string, Kept>(FILES, ({ manifests }) => sum(manifests.map(({ length }) => 1 + length)));

  constructor(options: { readonly source: GitSource; readonly isIgnored: (path: string) => boolean }) {
    this.#source = options.source;
    this.#isIgnored = options.isIgnored;
  }

  /**
   * What the host shall have of these apps: what it last synced, and of an app that it never synced what Git
   * has. Apps are left out whose last synced revision is lost. Throws SourceUnavailable.
   */
  async of(host: FleetHost, apps: readonly FleetApp[]): Promise<Checklist> {
    const key = apps.map((app) => `${app.key}@${host.records.get(app.key)?.digest ?? ""}>${app.digest}`).join("\n");
    const known = this.#lists.get(key);
    // What is secret is not in the digest: another commit may say so of the same files.
    if (known && apps.every(({ manifest }, index) => manifest === known.manifests[index])) return await known.made;
    const made = this.#make(host, apps);
    void this.#lists.set(key, { made, manifests: apps.map(({ manifest }) => manifest) });
    const forget = () => this.#lists.delete(key);
    // A revision that is lost today may be there tomorrow.
    made.then((list) => list.apps.length < apps.length && forget(), forget);
    return await made;
  }

  async #make(host: FleetHost, apps: readonly FleetApp[]): Promise<Checklist> {
    let start = 0;
    const parts = await Promise.all(apps.map(async (app) => ({ app, base: await this.#baseOf(host, app) })));
    const listed = parts.flatMap(({ app, base }) => {
      if (!base) return [];
      const files = base.filter(({ path }) => !this.#isIgnored(path));
      start += files.length;
      const desired = base === app.manifest ? {} : { desired: app.manifest };
      return [{ app: app.key, start: start - files.length, files, ...desired }];
    });
    const blobs = new Set(listed.flatMap(({ files, desired = [] }) => [...files, ...desired].map(({ blob }) => blob)));
    const checksums = await this.#source.checksums(blobs);
    const sizes = await this.#source.sizes(blobs);
    const files = listed.flatMap((app) => inspected(app, sizes));
    return { files, apps: listed.map((app) => ({ ...app, checksums })) };
  }

  async #baseOf(host: FleetHost, app: FleetApp): Promise<Manifest | null> {
    const { digest = null, revision = null } = host.records.get(app.key) ?? {};
    if (digest === null || revision === null || digest === app.digest) return app.manifest;
    const base = await this.#source.appAt(app.key, revisionCommit(revision));
    // Other default owners since: what the host was given then cannot be told any more.
    return base?.digest === digest ? base.manifest : null;
  }
}

/** What is larger than the file may be, as it was sent or as Git has it, is another file. */
function inspected(
  { files, desired = [] }: Pick<Expectation, "files" | "desired">,
  sizes: ReadonlyMap<string, number>,
): InspectedFile[] {
  const wanted = new Map(desired.map(({ path, blob }) => [path, sizes.get(blob)!]));
  return files.map(({ path, blob }) => ({ path, maxSize: Math.max(sizes.get(blob)!, wanted.get(path) ?? 0) }));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}
