import { describe, expect, it } from "vitest";
import { ConfigHostStatus, type Condition } from "../../../../src/config/resources.ts";
import { configHostName } from "../../../../src/kubernetes/objects.ts";
import { hostStatus, type HostStatusOptions } from "../../../../src/kubernetes/store/host-status.ts";
import { parseHost } from "../../../../src/kubernetes/store/parse-host.ts";
import type { AppKey } from "../../../../src/model/app.ts";
import type { Drift } from "../../../../src/model/drift.ts";
import type { AppRecord, DesiredRecord, HostRecord } from "../../../../src/model/record.ts";
import { makeFailure, makeRecord, revisionOf } from "../../../support/factories.ts";

const NOW = 1_700_000_000_000;
const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const JOB: AppKey = "cron/prod/job";
const [R1, R2] = [revisionOf("1"), revisionOf("2")] as const;
const DIGEST = "d".repeat(64);

const synced: AppRecord = { ...makeRecord(null), digest: DIGEST, revision: R1, syncedAt: NOW - 5000 };
const behind: AppRecord = { ...synced, digest: "0".repeat(64) };
const failing: AppRecord = {
  ...behind,
  unfinished: [R2],
  failure: makeFailure({ at: NOW - 10, message: "disk full" }),
};
const held: AppRecord = {
  ...behind,
  failure: makeFailure({ reason: "PruneLimitExceeded", message: "deletes 9 of 10 files", at: NOW }),
};
const drift: Drift = {
  files: [
    { path: "etc/a.conf", change: "mode", since: NOW - 9000 },
    { path: "etc/b.conf", change: "missing", since: NOW - 9000 },
  ],
  count: 2,
  replaced: [{ path: "etc/c.conf", change: "conflict", at: NOW - 8000, kept: "/var/lib/fssync/replaced/etc/c.conf.1" }],
};
const drifted: AppRecord = { ...synced, drift };
const unseen: AppRecord = {
  ...drifted,
  failure: makeFailure({
    state: "Unreachable",
    reason: "ConnectTimeout",
    message: "no answer",
    at: NOW,
    verifying: true,
  }),
};
const away: AppRecord = {
  ...behind,
  failure: makeFailure({ state: "Unreachable", reason: "ConnectTimeout", message: "no answer", at: NOW }),
};

describe("the status of a ConfigHost", () => {
  it.each([
    { name: "all synced", apps: { [WEB]: synced, [API]: synced }, state: "Synced", ready: "True Synced", other: [] },
    { name: "no app", apps: {}, state: "Synced", ready: "True Synced", other: [] },
    {
      name: "one behind",
      apps: { [WEB]: synced, [API]: behind },
      state: "Pending",
      ready: "False Pending",
      other: ["Reconciling Progressing"],
    },
    {
      name: "one under way",
      apps: { [WEB]: { ...behind, syncingSince: NOW } },
      state: "Syncing",
      ready: "False Syncing",
      other: ["Reconciling Progressing"],
    },
    {
      name: "one failed",
      apps: { [WEB]: failing, [API]: synced },
      state: "Failed",
      ready: "False NoSpace",
      other: [],
    },
    {
      name: "one failed, one behind",
      apps: { [WEB]: failing, [API]: behind },
      state: "Failed",
      ready: "False NoSpace",
      other: ["Reconciling Progressing"],
    },
    {
      name: "unreachable",
      apps: { [WEB]: away, [API]: away },
      state: "Unreachable",
      ready: "False ConnectTimeout",
      other: [],
    },
    {
      name: "held",
      apps: { [WEB]: held, [API]: synced },
      state: "Failed",
      ready: "False PruneLimitExceeded",
      other: ["Stalled PruneLimitExceeded"],
    },
    {
      name: "held, one behind",
      apps: { [WEB]: held, [API]: behind },
      state: "Failed",
      ready: "False PruneLimitExceeded",
      other: ["Reconciling Progressing"],
    },
    {
      name: "suspended",
      apps: { [JOB]: behind, [API]: synced },
      state: "Suspended",
      ready: "False Suspended",
      other: [],
    },
    {
      name: "files that somebody changed",
      apps: { [WEB]: drifted, [API]: synced },
      state: "Drifted",
      ready: "False Drifted",
      other: [],
    },
    {
      name: "files that somebody changed, and one behind",
      apps: { [WEB]: drifted, [API]: behind },
      state: "Drifted",
      ready: "False Drifted",
      other: ["Reconciling Progressing"],
    },
    {
      name: "changed files that were all laid over",
      apps: { [WEB]: { ...synced, drift: { ...drift, files: [], count: 0 } } },
      state: "Synced",
      ready: "True Synced",
      other: [],
    },
    {
      name: "a look that did not reach it",
      apps: { [WEB]: unseen, [API]: synced },
      state: "Unreachable",
      ready: "False ConnectTimeout",
      other: [],
    },
    {
      name: "an app that nothing is known of",
      apps: { "x/y/z": synced },
      state: "Pending",
      ready: "False Pending",
      other: ["Reconciling Progressing"],
    },
  ])("tells of a host with $name", ({ apps, state, ready, other }) => {
    const status = statusOf(apps);
    expect(status.state).toBe(state);
    const [first, ...rest] = status.conditions!;
    expect(`${first!.type} ${first!.status} ${first!.reason}`).toBe(`Ready ${ready}`);
    expect(rest.map(({ type, reason }) => `${type} ${reason}`)).toEqual(other);
    expect(rest.every((condition) => condition.status === "True")).toBe(true);
    expect(() => ConfigHostStatus.parse(withoutNulls(status))).not.toThrow();
  });

  it("counts apps and names the worst with what to do", () => {
    const status = statusOf({ [WEB]: held, [API]: synced, [JOB]: synced });
    expect(status).toMatchObject({ total: 3, synced: 2, lastSyncAt: "2023-11-14T22:13:15.000Z" });
    const [ready, stalled] = status.conditions!;
    expect(ready!.message).toBe(
      "2 of 3 apps are as in Git; nginx/prod/web Failed (PruneLimitExceeded: deletes 9 of 10 files)",
    );
    expect(stalled!.message).toContain("--allow-prune");
  });

  it("names few of many apps", () => {
    const apps = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`m/e/a${n}`, failing]));
    expect(statusOf(apps).conditions![0]!.message).toMatch(
      /^0 of 50 apps .*m\/e\/a2 Failed \(NoSpace: disk full\), and 47 more$/,
    );
  });

  it("names the files that somebody changed, the worst first", () => {
    const message = (known: Drift) => statusOf({ [WEB]: { ...synced, drift: known } }).conditions![0]!.message;
    expect(message(drift)).toBe(
      "0 of 1 apps are as in Git; nginx/prod/web Drifted (/etc/b.conf missing, /etc/a.conf mode)",
    );
    const odd = { path: "etc/caf\udce9\n", change: "conflict", since: NOW } as const;
    const many = { ...drift, files: [...drift.files, odd, { ...odd, path: "etc/z" }], count: 40 };
    expect(message(many)).toContain(
      String.raw`(/etc/caf\xe9\x0a conflict, /etc/z conflict, /etc/b.conf missing, and 37 more)`,
    );
    expect(message({ ...drift, files: [], count: 40 })).toContain("Drifted (40 files)");
  });

  it("says of an app that is refused in Git why", () => {
    const refused = { reason: "LfsPointer", message: "a.bin is an LFS pointer" } as const;
    const status = statusOf({ [WEB]: synced }, { desired: new Map([[WEB, { ...desiredOf(WEB), refused }]]) });
    expect(status.conditions!.map(({ type, reason }) => `${type} ${reason}`)).toEqual([
      "Ready LfsPointer",
      "Stalled LfsPointer",
    ]);
  });

  it("keeps since when a condition is as it is", () => {
    const before = condition({ type: "Ready", status: "False", lastTransitionTime: "2020-01-01T00:00:00.000Z" });
    const still = statusOf({ [WEB]: failing }, { conditions: [before] }).conditions![0];
    expect(still!.lastTransitionTime).toBe("2020-01-01T00:00:00.000Z");
    const now = statusOf({ [WEB]: synced }, { conditions: [before] }).conditions![0];
    expect(now!.lastTransitionTime).toBe("2023-11-14T22:13:20.000Z");
  });

  it("tells what was attempted last, and the commit that all apps have", () => {
    expect(statusOf({ [WEB]: failing, [API]: synced })).toMatchObject({ lastAttemptedRevision: R2 });
    expect(statusOf({ [WEB]: failing })).not.toHaveProperty("lastAppliedRevision");
    expect(statusOf({ [WEB]: synced })).toMatchObject({ lastAttemptedRevision: R1, lastAppliedRevision: R2 });
    expect(statusOf({ [WEB]: makeRecord(null) }).lastAttemptedRevision).toBeNull();
  });

  it("takes a commit for applied that was brought to the host, whatever became of it there", () => {
    const status = statusOf({ [WEB]: drifted, [API]: synced });
    expect(status).toMatchObject({ total: 2, synced: 1, lastAppliedRevision: R2 });
    expect(statusOf({ [WEB]: unseen })).toMatchObject({ synced: 0, lastAppliedRevision: R2 });
    expect(statusOf({ [WEB]: drifted, [API]: behind })).not.toHaveProperty("lastAppliedRevision");
  });

  it("takes a look that failed for no attempt at a revision", () => {
    expect(statusOf({ [WEB]: unseen })).toMatchObject({ lastAttemptedRevision: R1 });
    expect(statusOf({ [WEB]: { ...unseen, failure: away.failure } })).toMatchObject({ lastAttemptedRevision: R2 });
    const earlier = { ...synced, revision: R2, syncedAt: NOW - 1 };
    expect(statusOf({ [API]: earlier, [WEB]: unseen })).toMatchObject({ lastAttemptedRevision: R2 });
  });

  it("is read back as it was written", () => {
    const apps = {
      [WEB]: synced,
      [API]: failing,
      [JOB]: { ...away, lagSince: 5, syncingSince: 7 },
      "a/b/caf\udce9": held,
      "a/b/unseen": unseen,
      "a/b/laid-over": { ...drifted, drift: { ...drift, files: [], count: 0 } },
    };
    const record = hostOf(apps);
    const status = withoutNulls(statusOf(apps, { covered: new Map([[WEB, 7]]) }));
    const object = { metadata: { name: configHostName("files", record) }, spec: specOf(record), status };
    const read = parseHost(JSON.parse(JSON.stringify(object)) as typeof object, "files")!;
    expect(read.record).toEqual(record);
    expect(read.covered.get(WEB)).toBe(7);
    expect(read.covered.get(API)).toBe(0);
    expect(read.conditions).toEqual(status.conditions);
  });

  it("stays under 100 KiB with 200 apps that all fail, with long names and messages", () => {
    const message = 'rsync: [receiver] mkstemp "/etc/<é😀>" failed: '.repeat(10).slice(0, 300);
    const apps = Object.fromEntries(
      Array.from({ length: 200 }, (_, n) => {
        const name = `infrastructure/production-eu/customer-frontend-${String(n).padStart(4, "0")}`;
        return [
          name,
          {
            ...failing,
            lagSince: NOW,
            failure: makeFailure({ at: NOW, reason: "PermissionDenied", message }),
          },
        ];
      }),
    );
    const record = hostOf(apps);
    const covered = new Map([...record.apps.keys()].map((app) => [app, 123_456]));
    const status = statusOf(apps, { covered });
    expect(storedSize(status)).toBeLessThan(98 * 1024);
    const messages = status.apps!.map((app) => app.message!);
    expect(messages.every((text) => text.isWellFormed() && text.length > 5 && text.endsWith("…"))).toBe(true);
    const few = statusOf(Object.fromEntries(Object.entries(apps).slice(0, 20)));
    expect(few.apps!.every((app) => app.message === message)).toBe(true);
  });
});

it("stays under 100 KiB with 200 apps that each have 100 drifted files and as many messages", () => {
  const files = Array.from({ length: 100 }, (_, n) => {
    const change = n % 2 === 0 ? "mode" : "content";
    return {
      path: `etc/nginx/sites-enabled/customer-<${String(n).padStart(3, "0")}>.conf`,
      change,
      since: NOW,
    } as const;
  });
  const replaced = files.slice(50).map(({ path, change }) => ({ path, change, at: NOW, kept: `/kept/${path}` }));
  const all = Array.from({ length: 200 }, (_, n) => [
    `infrastructure/production-eu/customer-frontend-${String(n).padStart(4, "0")}`,
    { ...unseen, drift: { files, count: 100, replaced } },
  ]);
  const apps = Object.fromEntries(all) as Record<string, AppRecord>;
  const status = statusOf(apps, { covered: new Map(Object.keys(apps).map((app) => [app as AppKey, 123_456])) });
  expect(storedSize(status)).toBeLessThan(98 * 1024);
  expect(status.apps!.every((app) => app.message === "no answer" && app.drift?.count === 100)).toBe(true);
  const record = hostOf(apps);
  const object = {
    metadata: { name: configHostName("files", record) },
    spec: specOf(record),
    status: withoutNulls(status),
  };
  const read = parseHost(JSON.parse(JSON.stringify(object)) as typeof object, "files")!;
  const drifts = [...read.record.apps.values()].map((app) => app.drift!);
  expect(drifts.map(({ count }) => count)).toEqual(drifts.map(() => 100));
  const shown = drifts.flatMap((each) => each.files);
  expect(shown.length).toBeGreaterThan(10);
  expect(new Set(shown.map(({ change }) => change))).toEqual(new Set(["content"]));
});

describe("reading a ConfigHost", () => {
  const record = hostOf({ [WEB]: synced });
  const good = {
    metadata: { name: configHostName("files", record) },
    spec: specOf(record),
    status: withoutNulls(statusOf({ [WEB]: synced })) as Record<string, unknown>,
  };
  const app = (good.status["apps"] as object[])[0];

  it.each([
    ["a time that is none", { apps: [{ ...app, syncedAt: "yesterday" }] }],
    ["apps that are no list", { apps: "none" }],
    ["a state that is none", { apps: [{ ...app, state: "Fine" }] }],
    ["an app twice", { apps: [app, app] }],
    ["an app without a name", { apps: [{ ...app, app: undefined }] }],
  ])("refuses %s", (_, status) => {
    expect(() => parseHost({ ...good, status: { ...good.status, ...status } }, "files")).toThrow();
  });

  it("refuses a name that belongs to another host, and a spec without an address", () => {
    expect(() => parseHost({ ...good, metadata: { name: "files.other" } }, "files")).toThrow(/its name/);
    expect(() => parseHost({ ...good, spec: { ...good.spec, address: undefined } }, "files")).toThrow();
  });

  it.each([
    ["a change that is none", { count: 1, files: [{ path: "a", change: "burnt", since: "2023-11-14T22:13:15.000Z" }] }],
    ["a time that is none", { count: 1, replaced: [{ path: "a", change: "mode", at: "yesterday" }] }],
    [
      "a path that is broken JSON",
      { count: 1, files: [{ path: '"a', change: "mode", since: "2023-11-14T22:13:15.000Z" }] },
    ],
    ["no count", { files: [] }],
    ["no map", "much"],
  ])("passes over drift with %s: the next look tells it anew", (_, edited) => {
    const read = parseHost({ ...good, status: { ...good.status, apps: [{ ...app, drift: edited }] } }, "files")!;
    expect(read.record.apps.get(WEB)).toEqual(synced);
  });

  it("takes of drift what it knows", () => {
    const later = { path: "etc/a.conf", change: "mode", since: new Date(NOW).toISOString(), later: 1 };
    const edited = { count: 1, files: [later], later: [] };
    const read = parseHost({ ...good, status: { ...good.status, apps: [{ ...app, drift: edited }] } }, "files")!;
    expect(read.record.apps.get(WEB)?.drift).toEqual({
      files: [{ path: "etc/a.conf", change: "mode", since: NOW }],
      count: 1,
      replaced: [],
    });
  });

  it("passes over what a newer fssync may have added, and a reason it does not know", () => {
    const apps = [{ ...app, later: 1, reason: "Unheard", message: "of", failedAt: "2023-11-14T22:13:15.000Z" }];
    const read = parseHost({ ...good, status: { ...good.status, later: 1, apps } }, "files")!;
    expect(read.record.apps.get(WEB)).toMatchObject({
      digest: DIGEST,
      failure: { reason: "Internal", state: "Failed" },
    });
  });

  it("gives nothing for one without a status yet", () => {
    expect(parseHost({ ...good, status: undefined }, "files")).toBeNull();
  });
});

function statusOf(apps: Record<string, AppRecord>, options: Partial<HostStatusOptions> = {}) {
  const desired = new Map([WEB, API, JOB].map((key) => [key, desiredOf(key)]));
  const common = { revision: R2, desired, covered: new Map(), conditions: [], now: NOW };
  return hostStatus({ ...common, record: hostOf(apps), suspended: (app) => app === JOB, ...options });
}

function hostOf(apps: Record<string, AppRecord>): HostRecord {
  const entries = Object.entries(apps) as [AppKey, AppRecord][];
  return { key: "10.0.0.1:22", address: "10.0.0.1", port: 22, root: "/", apps: new Map(entries) };
}

function specOf({ address, port, root }: HostRecord) {
  return { repoRef: { name: "files" }, address, port, root };
}

function desiredOf(key: AppKey): DesiredRecord {
  return { key, digest: DIGEST, revision: R2, seenAt: NOW, refused: null };
}

function condition(overrides: Partial<Condition>): Condition {
  const common = { type: "Ready", status: "True", reason: "Synced", message: "", lastTransitionTime: "" } as const;
  return { ...common, ...overrides };
}

function withoutNulls<T extends object>(status: T): T & { conditions: Condition[] } {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== null)) as never;
}

/** As Go writes it. */
function storedSize(status: object): number {
  const text = JSON.stringify(status);
  return Buffer.byteLength(text) + text.split(/[<>&]/).length * 5;
}
