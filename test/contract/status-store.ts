import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AppKey } from "../../src/model/app.ts";
import type { Drift, DriftChange } from "../../src/model/drift.ts";
import { hostKey } from "../../src/model/host.ts";
import type { Revision } from "../../src/model/revision.ts";
import type { AppRecord, DesiredRecord, HostRecord, RepoRecord } from "../../src/model/record.ts";
import type { StatusStore } from "../../src/ports/status-store.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const REVISION = `main@sha1:${"a".repeat(40)}` as const;
const NEXT = `main@sha1:${"b".repeat(40)}` as const;
const NEXT_DIGEST = "e".repeat(64);
const EMPTY = { repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() };

export interface StatusStoreContractOptions {
  /** False for a store that takes only names that are names in Kubernetes: "files", "one", "two". */
  readonly oddNames?: boolean;
}

/** What every status store promises. `factory` gives a fresh, empty one. */
export function statusStoreContract(
  name: string,
  factory: () => Promise<StatusStore>,
  { oddNames = true }: StatusStoreContractOptions = {},
): void {
  describe(`status store contract: ${name}`, () => {
    let store: StatusStore;

    beforeEach(async () => {
      store = await factory();
    });

    afterEach(async () => {
      await store[Symbol.asyncDispose]();
    });

    it("is empty for a repo never seen", async () => {
      expect(await store.load("files")).toEqual(EMPTY);
      expect(await store.repos()).toEqual([]);
    });

    it("gives back what was saved, every field of it", async () => {
      const change = {
        repo: repoRecord(),
        apps: new Map([
          [WEB, desiredRecord(WEB)],
          [API, { ...desiredRecord(API), refused: refusal() }],
        ] as const),
        hosts: new Map([["10.0.0.1:22", hostRecord("10.0.0.1", { [WEB]: synced(), [API]: failed() })]]),
      };
      await store.save("files", change);
      expect(await store.load("files")).toEqual(change);
      expect(await store.repos()).toEqual(["files"]);
    });

    it.each([
      ["files that differ", drift({ replaced: [] })],
      ["files that were laid over", drift({ files: [], count: 0 })],
      ["both", drift()],
      ["more files than are named", drift({ count: 5000 })],
    ])("gives back what is known of drift: %s", async (_, known) => {
      await store.save("files", { hosts: hostsWith({ ...synced(), drift: known }) });
      expect(await recordOf(store)).toEqual({ ...synced(), drift: known });
    });

    it("forgets drift with the record that does not name it any more", async () => {
      await store.save("files", { hosts: hostsWith({ ...synced(), drift: drift() }) });
      await store.save("files", { hosts: hostsWith(synced()) });
      expect(await recordOf(store)).not.toHaveProperty("drift");
    });

    it("keeps why a host got plain rsync until a record of it does not say so any more", async () => {
      const record = hostRecord("a", { [WEB]: synced() });
      const fallen = { ...record, fallback: `rsync 3.0.9 cannot read the batch: "'\u00e9` };
      const other = hostRecord("b", { [WEB]: synced() });
      const hosts = new Map([
        ["a:22", fallen],
        ["b:22", other],
      ]);
      await store.save("files", { hosts });
      expect((await store.load("files")).hosts).toEqual(hosts);
      await store.save("files", { hosts: new Map([["a:22", record]]) });
      expect((await store.load("files")).hosts.get("a:22")).toEqual(record);
    });

    it("tells a look that failed from a sync that failed", async () => {
      const verifying = { ...failed().failure!, verifying: true } as const;
      const look = { ...synced(), failure: verifying, drift: drift() };
      await store.save("files", { hosts: new Map([["a:22", hostRecord("a", { [WEB]: look, [API]: failed() })]]) });
      const { apps } = (await store.load("files")).hosts.get("a:22")!;
      expect(apps.get(WEB)).toEqual(look);
      expect(apps.get(API)?.failure).not.toHaveProperty("verifying");
    });

    it("leaves what a change does not name as it was", async () => {
      await store.save("files", { repo: repoRecord() });
      await store.save("files", { apps: new Map([[WEB, desiredRecord(WEB)]]) });
      await store.save("files", { hosts: new Map([["a:22", hostRecord("a", {})]]) });
      await store.save("files", { hosts: new Map([["b:22", hostRecord("b", {})]]) });
      await store.save("files", {});
      const loaded = await store.load("files");
      expect(loaded.repo).toEqual(repoRecord());
      expect([...loaded.apps.keys()]).toEqual([WEB]);
      expect([...loaded.hosts.keys()].sort()).toEqual(["a:22", "b:22"]);
    });

    it("replaces a host's record as a whole, all its apps", async () => {
      await store.save("files", { hosts: new Map([["a:22", hostRecord("a", { [WEB]: synced(), [API]: failed() })]]) });
      await store.save("files", { hosts: new Map([["a:22", hostRecord("a", { [API]: synced() })]]) });
      const { hosts } = await store.load("files");
      expect(hosts).toEqual(new Map([["a:22", hostRecord("a", { [API]: synced() })]]));
    });

    it("removes hosts and apps that are put as null, also ones never stored", async () => {
      await store.save("files", {
        apps: new Map([[WEB, desiredRecord(WEB)]]),
        hosts: new Map([["a:22", hostRecord("a", {})]]),
      });
      await store.save("files", {
        apps: new Map([
          [WEB, null],
          [API, null],
        ] as const),
        hosts: new Map([
          ["a:22", null],
          ["z:22", null],
        ]),
      });
      expect(await store.load("files")).toEqual(EMPTY);
    });

    it("keeps repos apart, even when hosts and apps have the same keys", async () => {
      await store.save("one", { hosts: new Map([["a:22", hostRecord("a", { [WEB]: synced() })]]) });
      await store.save("two", { hosts: new Map([["a:22", hostRecord("a", { [API]: failed() })]]) });
      await store.remove("one");
      expect(await store.load("one")).toEqual(EMPTY);
      expect(await store.repos()).toEqual(["two"]);
      expect((await store.load("two")).hosts.get("a:22")?.apps.get(API)).toEqual(failed());
    });

    it("applies changes in the order of the calls without waiting between them", async () => {
      const saves = Array.from({ length: 50 }, (_, index) =>
        store.save("files", {
          hosts: new Map([["a:22", hostRecord("a", { [WEB]: { ...synced(), syncedAt: index } })]]),
        }),
      );
      await Promise.all(saves);
      expect((await store.load("files")).hosts.get("a:22")?.apps.get(WEB)?.syncedAt).toBe(49);
    });

    it("forgets a repo only as far as it was saved before the call", async () => {
      const first = store.save("files", { repo: repoRecord() });
      const gone = store.remove("files");
      const second = store.save("files", { hosts: new Map([["a:22", hostRecord("a", {})]]) });
      await Promise.all([first, gone, second]);
      const loaded = await store.load("files");
      expect(loaded.repo).toEqual(EMPTY.repo);
      expect([...loaded.hosts.keys()]).toEqual(["a:22"]);
    });

    it("gives a loaded status that later saves do not change", async () => {
      await store.save("files", { hosts: new Map([["a:22", hostRecord("a", { [WEB]: synced() })]]) });
      const before = await store.load("files");
      await store.save("files", { hosts: new Map([["a:22", null]]) });
      expect(before.hosts.has("a:22")).toBe(true);
    });

    it("stores a change as it was at the call, whatever becomes of it afterwards", async () => {
      const apps = new Map<AppKey, AppRecord>([[WEB, synced()]]);
      const hosts = new Map([["a:22", { ...hostRecord("a", {}), apps }]]);
      const saved = store.save("files", { hosts });
      apps.set(API, failed());
      hosts.clear();
      await saved;
      expect((await store.load("files")).hosts).toEqual(new Map([["a:22", hostRecord("a", { [WEB]: synced() })]]));
    });

    it("keeps keys and messages that look like SQL, JSON or prototype members", async () => {
      const message = `'); DROP TABLE host; -- {"a":1} \\ é 😀`;
      const odd = "__proto__/constructor/it's" as AppKey;
      const host = hostRecord("a", { [odd]: { ...failed(), failure: { ...failed().failure!, message } } });
      const repo = oddNames ? "files'--" : "files";
      await store.save(repo, { hosts: new Map([["a:22", host]]) });
      expect((await store.load(repo)).hosts).toEqual(new Map([["a:22", host]]));
    });

    it("keeps names that are no UTF-8 apart", async () => {
      const keys: AppKey[] = ["nginx/prod/caf\udce9", "nginx/prod/caf\udce8", "nginx/prod/caf\ufffd", 'nginx/prod/"x"'];
      const apps = new Map(keys.map((key) => [key, desiredRecord(key)]));
      const host = hostRecord(
        "a",
        Object.fromEntries(keys.map((key, index) => [key, { ...synced(), syncedAt: index }])),
      );
      await store.save("files", { apps, hosts: new Map([["a:22", host]]) });
      const loaded = await store.load("files");
      expect(loaded.apps).toEqual(apps);
      expect(loaded.hosts).toEqual(new Map([["a:22", host]]));
    });

    it("keeps hosts apart that differ in their port only, and IPv6 addresses", async () => {
      const hosts = new Map(
        [
          ["2001:db8::1", 22],
          ["2001:db8::1", 2222],
          ["Web-1.example.com", 22],
          ["web-1.example.com", 22],
        ].map(([address, port]) => {
          const key = hostKey(address as string, port as number);
          return [key, { ...hostRecord("a", { [WEB]: synced() }), key, address, port } as HostRecord];
        }),
      );
      await store.save("files", { hosts });
      expect((await store.load("files")).hosts).toEqual(hosts);
      const gone = new Map([...hosts.keys()].map((key) => [key, null]));
      await store.save("files", { hosts: gone });
      expect((await store.load("files")).hosts).toEqual(new Map());
    });

    describe("begin", () => {
      const begun: AppRecord = { ...synced(), unfinished: [NEXT] };

      it("notes what is about to be sent, and a later record says how it ended", async () => {
        await store.save("files", { apps: new Map([[WEB, desiredNext()]]), hosts: hostsWith(synced()) });
        await store.begin("files", hostRecord("a", { [WEB]: begun }), new Set([WEB]));
        const record = await recordOf(store);
        expect(revisionsBegun(record)).toEqual([NEXT]);
        expect(record).toMatchObject({ digest: synced().digest, revision: REVISION });
        const done = { ...synced(), digest: NEXT_DIGEST, revision: NEXT };
        await store.save("files", { hosts: hostsWith(done) });
        expect(await recordOf(store)).toEqual(done);
      });

      it("notes it on a host that was never saved", async () => {
        await store.save("files", { apps: new Map([[WEB, desiredNext()]]) });
        const first = { ...begun, digest: null, revision: null, syncedAt: null };
        await store.begin("files", hostRecord("a", { [WEB]: first }), new Set([WEB]));
        expect(revisionsBegun(await recordOf(store))).toEqual([NEXT]);
      });

      it("notes it for every host and app that begins, again after a failure was saved", async () => {
        const [web, api] = [desiredNext(), { ...desiredNext(), key: API }] as const;
        const hosts = new Map(
          ["a", "b"].map((name) => [`${name}:22`, hostRecord(name, { [WEB]: synced(), [API]: synced() })]),
        );
        await store.save("files", {
          apps: new Map<AppKey, DesiredRecord>([
            [WEB, web],
            [API, api],
          ]),
          hosts,
        });
        const both = { [WEB]: begun, [API]: begun };
        await Promise.all(["a", "b"].map((name) => store.begin("files", hostRecord(name, both), new Set([WEB, API]))));
        const untouched = { ...synced(), failure: failed().failure };
        await store.save("files", { hosts: new Map([["a:22", hostRecord("a", { [WEB]: untouched, [API]: begun })]]) });
        await store.begin(
          "files",
          hostRecord("a", { [WEB]: { ...untouched, unfinished: [NEXT] }, [API]: begun }),
          new Set([WEB]),
        );
        const loaded = await store.load("files");
        for (const host of loaded.hosts.values()) {
          expect([...host.apps.values()].map(revisionsBegun)).toEqual([[NEXT], [NEXT]]);
        }
      });

      it("does not make a host lag that finished", async () => {
        await store.save("files", { apps: new Map([[WEB, desiredNext()]]), hosts: hostsWith(synced()) });
        await store.begin("files", hostRecord("a", { [WEB]: begun }), new Set([WEB]));
        await store.save("files", { hosts: hostsWith({ ...synced(), digest: NEXT_DIGEST, revision: NEXT }) });
        await store.load("files");
        expect(revisionsBegun(await recordOf(store))).toEqual([]);
      });
    });
  });
}

function hostsWith(record: AppRecord): ReadonlyMap<string, HostRecord> {
  return new Map([["a:22", hostRecord("a", { [WEB]: record })]]);
}

async function recordOf(store: StatusStore): Promise<AppRecord> {
  return (await store.load("files")).hosts.get("a:22")!.apps.get(WEB)!;
}

function revisionsBegun({ unfinished, suspected = [] }: AppRecord): Revision[] {
  return [...new Set([...unfinished, ...suspected])];
}

function desiredNext(): DesiredRecord {
  return { ...desiredRecord(WEB), digest: NEXT_DIGEST, revision: NEXT };
}

function repoRecord(): RepoRecord {
  return { revision: REVISION, problems: [{ reason: "FetchFailed", message: "no route", since: 7 }] };
}

function desiredRecord(key: AppKey): DesiredRecord {
  return { key, digest: "d".repeat(64), revision: REVISION, seenAt: 1_700_000_000_000, refused: null };
}

function hostRecord(address: string, apps: Record<string, AppRecord>): HostRecord {
  const entries = Object.entries(apps) as [AppKey, AppRecord][];
  return { key: `${address}:22`, address, port: 22, root: "/", apps: new Map(entries) };
}

function synced(): AppRecord {
  return {
    digest: "d".repeat(64),
    revision: REVISION,
    syncedAt: 5,
    unfinished: [],
    lagSince: null,
    failure: null,
    syncingSince: null,
  };
}

function failed(): AppRecord {
  return {
    digest: null,
    revision: null,
    syncedAt: null,
    unfinished: [REVISION],
    lagSince: 3,
    failure: { state: "Failed", reason: "AuthFailed", message: "Permission denied (publickey).", at: 9, attempts: 2 },
    syncingSince: 4,
  };
}

/** Every change, times to the millisecond, and paths that are no UTF-8, look like JSON or hold odd characters. */
function drift(overrides: Partial<Drift> = {}): Drift {
  const changes: DriftChange[] = ["conflict", "missing", "type", "content", "owner", "mode"];
  const paths = ["etc/caf\udce9", "etc/caf\udce8", 'etc/"x"', '"etc/y"', "etc/\ttab\nline", "etc/<é😀>&\\ "];
  const files = paths.map((path, index) => ({ path, change: changes[index]!, since: 1_700_000_000_123 + index }));
  const kept = [undefined, "/var/lib/fssync/replaced/etc/caf\udce9.20261122T233000Z", '/"', "/ ", "/<&>", "/é"];
  const replaced = files.map(({ path, change, since }, index) => {
    const at = kept[index];
    return { path, change, at: since + 1, ...(at === undefined ? {} : { kept: at }) };
  });
  return { files, count: files.length, replaced, ...overrides };
}

function refusal() {
  return { reason: "LfsPointer", message: "a.bin is an LFS pointer" } as const;
}
