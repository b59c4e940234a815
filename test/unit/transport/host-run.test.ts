import { describe, expect, test } from "vitest";
import { REASONS } from "../../../src/model/errors.ts";
import { HostRun, type Run } from "../../../src/transport/host-run.ts";
import type { PreparedLists } from "../../../src/transport/prepared-lists.ts";

const HOST = { key: "h:22", address: "h", port: 22, user: "root", root: "/" };
const REMOTE = { host: HOST, controlPath: "none", sudo: false, rsyncPath: "rsync", ioTimeout: 60 };
const REFUSED = "ssh: connect to host h port 22: Connection refused";

/** Two sends of one app, of different ownership. */
function lists(): PreparedLists {
  const files = new Map([["m/e/a", [{ path: "x" }]]]);
  const sends = [
    { ownership: { owner: "root", group: "root", mode: null }, files },
    { ownership: { owner: "root", group: "root", mode: 0o600 }, files },
  ];
  const passes = { clear: new Map(), sends, deletes: new Map(), emptyFolders: [] };
  const sendList = async () => ({ list: "l", source: "/s" });
  return { change: { snapshotRoot: "/s", apps: [{ app: "m/e/a" }], emptyFolders: [] }, passes, sendList } as never;
}

/** A host whose runs end like this, one after the other. */
function hostThat(...endings: { exitCode: number; stderr: string }[]): HostRun {
  const run: Run = async () => ({ ...endings.shift()!, stdout: "" }) as never;
  return new HostRun({ lists: lists(), remote: REMOTE, run, stamp: "20261122T224501.123Z" });
}

describe("a host that cannot be reached", () => {
  test("from the start keeps its reason: nothing was changed there", async () => {
    await expect(hostThat({ exitCode: 255, stderr: REFUSED }).all()).rejects.toMatchObject({
      reason: "ConnectRefused",
    });
  });

  test("after a pass lost its connection: it has a part of the change", async () => {
    const run = hostThat({ exitCode: 0, stderr: "" }, { exitCode: 255, stderr: REFUSED });
    await expect(run.all()).rejects.toMatchObject({ reason: "ConnectionLost", info: REASONS.ConnectionLost });
  });
});
