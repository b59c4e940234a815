import type { AppKey } from "../../../src/model/app.ts";
import type { AppRecord, HostRecord } from "../../../src/model/record.ts";

/** A host with ten apps, all synced at `n`. */
export function hostRecordAt(address: string, n: number): [string, HostRecord] {
  const apps = new Map<AppKey, AppRecord>();
  for (let index = 0; index < 10; index += 1) apps.set(`nginx/prod/app-${index}`, syncedAt(n));
  return [`${address}:22`, { key: `${address}:22`, address, port: 22, root: "/", apps }];
}

function syncedAt(n: number): AppRecord {
  const revision = `main@sha1:${String(n).padStart(40, "0")}` as const;
  return {
    digest: "d".repeat(64),
    revision,
    syncedAt: n,
    unfinished: [],
    lagSince: null,
    failure: null,
    syncingSince: null,
  };
}
