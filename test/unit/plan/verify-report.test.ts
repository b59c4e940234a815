import { describe, expect, test } from "vitest";
import type { DriftChange } from "../../../src/model/drift.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { FileEntry } from "../../../src/model/manifest.ts";
import type { AppRecord } from "../../../src/model/record.ts";
import { reportRepo, type RepoReport } from "../../../src/plan/status-report.ts";
import { reportContents, reportVerified, type Seen, type SeenFile } from "../../../src/plan/verify-report.ts";
import type { FileFact } from "../../../src/ports/transport.ts";
import { makeApp, makeFailure, makeHost, makeRecord } from "../../support/factories.ts";

const WEB = "nginx/prod/web";
const app = makeApp(WEB, { "etc/a": "a", "etc/b": "b" });
const host = makeHost("10.0.0.1");
const clean: Seen = { files: [], error: null };
const down: Seen = { files: [], error: new FssyncError("ConnectTimeout", "no answer") };

function file(path: string, change: DriftChange, overrides: Partial<FileEntry> = {}, mode = 0o644): SeenFile {
  const desired = app.manifest.find((one) => one.path === path)!;
  const entry = { ...desired, ...overrides };
  const attributes = { owner: "root", group: "root", uid: 0, gid: 0 };
  const fact: FileFact = { ...attributes, kind: "file", mode, checksum: "0" };
  return { entry, desired, change, fact };
}

function verified(record: AppRecord, seen: Seen | undefined): RepoReport {
  const { key, address, port, root } = host;
  const desired = { key: WEB, digest: app.digest, revision: app.revision, seenAt: 0, refused: null } as const;
  const status = {
    repo: { revision: app.revision, problems: [] },
    apps: new Map([[desired.key, desired]]),
    hosts: new Map([[key, { key, address, port, root, apps: new Map([[desired.key, record]]) }]]),
  };
  const found = seen ? new Map([[key, { apps: new Map([[desired.key, seen]]) }]]) : new Map();
  return reportVerified(reportRepo("files", status, {}), found);
}

function onHost(record: AppRecord, seen: Seen | undefined) {
  return verified(record, seen).hosts[0]!.apps[0]!;
}

describe("what was seen on hosts", () => {
  test("files are told worst first, below the root, since when they are known", () => {
    const drift = { files: [{ path: "etc/a", change: "mode", since: 5 }], count: 1, replaced: [] } as const;
    const seen = { files: [file("etc/a", "mode"), file("etc/b", "missing")], error: null };
    expect(onHost(makeRecord(app, { drift }), seen)).toMatchObject({
      state: "Drifted",
      files: [
        { path: "/etc/b", change: "missing" },
        { path: "/etc/a", change: "mode", since: "1970-01-01T00:00:00.005Z" },
      ],
    });
  });

  test("a host that is as Git has it has an empty list, whatever was known before", () => {
    const drift = { files: [{ path: "etc/a", change: "mode", since: 5 }], count: 7, replaced: [] } as const;
    const told = onHost(makeRecord(app, { drift }), clean);
    expect(told).toMatchObject({ state: "Synced", files: [] });
    expect(told).not.toHaveProperty("fileCount");
  });

  test("an app that was never synced is Pending with what differs from Git", () => {
    const told = onHost(makeRecord(null, { lagSince: 1 }), { files: [file("etc/a", "content")], error: null });
    expect(told).toMatchObject({ state: "Pending", files: [{ path: "/etc/a", change: "content" }] });
  });

  test("what could not be looked at says why, also where there is no record that does", () => {
    for (const record of [makeRecord(app), makeRecord(null, { lagSince: 1 })]) {
      const report = verified(record, down);
      expect(report.hosts[0]).toMatchObject({
        state: "Unreachable",
        apps: [{ state: "Unreachable", reason: "ConnectTimeout", message: "no answer", notCompared: true, files: [] }],
      });
      expect(report.apps[0]).toMatchObject({ state: "Unreachable", hosts: { unreachable: 1, synced: 0, pending: 0 } });
    }
  });

  test("of what could be looked at in part, the files that differ are told too", () => {
    const error = new FssyncError("PermissionDenied", "cannot read /etc/b");
    const told = onHost(makeRecord(app), { files: [file("etc/a", "content")], error });
    expect(told).toMatchObject({ state: "Failed", reason: "PermissionDenied", notCompared: true });
    expect(told.files).toEqual([{ path: "/etc/a", change: "content" }]);
  });

  test("why it could not be looked at counts for more than how the last sync failed", () => {
    const told = onHost(makeRecord(app, { failure: makeFailure({ attempts: 3 }) }), down);
    expect(told).toMatchObject({ state: "Unreachable", reason: "ConnectTimeout" });
    expect(told).not.toHaveProperty("attempts");
    const again = makeFailure({ state: "Unreachable", reason: "ConnectTimeout", attempts: 3 });
    expect(onHost(makeRecord(app, { failure: again }), down)).toMatchObject({ attempts: 3 });
  });

  test("a host that answers is not unreachable any more; a sync that failed stays failed", () => {
    const failure = makeFailure({ state: "Unreachable", reason: "ConnectTimeout" });
    const back = onHost(makeRecord(app, { failure }), clean);
    expect(back).toMatchObject({ state: "Synced" });
    expect(back).not.toHaveProperty("reason");
    const drifted = { files: [file("etc/a", "mode")], error: null };
    expect(onHost(makeRecord(app, { failure }), drifted)).toMatchObject({ state: "Drifted" });
    expect(onHost(makeRecord(null, { failure, lagSince: 1 }), clean)).toMatchObject({ state: "Pending" });
    expect(onHost(makeRecord(app, { failure: makeFailure() }), clean)).toMatchObject({ state: "Failed" });
  });

  test("what nobody looked at is not told as equal", () => {
    expect(onHost(makeRecord(app), undefined)).toMatchObject({ notCompared: true, files: [] });
    expect(onHost(makeRecord(app), clean)).not.toHaveProperty("notCompared");
  });

  test("a file is secret by attribute, by the mode it shall have, and by the mode it has", () => {
    const files = [
      file("etc/a", "content", { secret: true }),
      file("etc/a", "content", { mode: 0o640 }),
      file("etc/a", "content", {}, 0o600),
      file("etc/a", "content"),
    ];
    const told = onHost(makeRecord(app), { files, error: null }).files!;
    expect(told.map(({ secret }) => secret)).toEqual([true, true, true, undefined]);
  });

  test("files name the key of their contents, which are handed on once, in base64", () => {
    const files = [{ ...file("etc/a", "content"), contents: "key" }];
    expect(onHost(makeRecord(app), { files, error: null }).files![0]!.contents).toBe("key");
    const pair = { git: Buffer.from("a\n"), host: Buffer.from("b\n") };
    expect(reportContents([["key", pair]])).toEqual({ key: { git: "YQo=", host: "Ygo=" } });
  });
});
