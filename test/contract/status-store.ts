import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AppKey } from "../../src/model/app.ts";
import type { AppRecord, DesiredRecord, HostRecord, RepoRecord } from "../../src/model/record.ts";
import type { StatusStore } from "../../src/ports/status-store.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const REVISION = `main@sha1:${"a".repeat(40)}` as const;
const EMPTY = { repo: { revision: null, problems: [] }, apps: new Map(), hosts: new Map() };

/** What every status store promises. `factory` gives a fresh, empty one. */
export function statusStoreContract(name: string, factory: () => Promise<StatusStore>): void {
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
      await store.save("files'--", { hosts: new Map([["a:22", host]]) });
      expect((await store.load("files'--")).hosts).toEqual(new Map([["a:22", host]]));
    });
  });
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

function refusal() {
  return { reason: "LfsPointer", message: "a.bin is an LFS pointer" } as const;
}
