import { describe, expect, test } from "vitest";
import { FssyncError, REASONS } from "../../../src/model/errors.ts";
import { HostRun } from "../../../src/transport/host-run.ts";
import type { Session } from "../../../src/transport/ssh-client.ts";
import type { PreparedLists } from "../../../src/transport/prepared-lists.ts";
import { NOTHING } from "../../../src/transport/process.ts";
import { Unfinished } from "../../../src/transport/programs.ts";

const HOST = { key: "h:22", address: "h", port: 22, user: "root", root: "/" };
const REMOTE = { host: HOST, sudo: false, rsyncPath: "rsync", ioTimeout: 60 };
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
type Run = Session["command"] & Session["rsync"];

function hostThat(...endings: { exitCode: number; stderr: string }[]): HostRun {
  const run: Run = async () => ({ ...endings.shift()!, stdout: "" }) as never;
  return new HostRun({
    lists: lists(),
    remote: REMOTE,
    session: { waits: true, command: run, rsync: run },
    stamp: "20261122T224501.123Z",
  });
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

describe("what the guard said", () => {
  const said = "fssync-home /root\nfssync-replaced 0 root 20261122T224501.123Z\nfssync-guarded\n";
  const late = new FssyncError("SyncTimeout", "late");
  const guard = { files: [{ app: "m/e/a", path: "x" }], input: Buffer.from("0///x\0"), keep: 5 };

  test.each([
    ["with what is sent", "0///x", { stderr: said }],
    ["in a session of its own", undefined, { stdout: said }],
  ])("counts though the run is ended then: %s", async (_, printed, words) => {
    const run: Run = () => Promise.reject(new Unfinished(late, { ...NOTHING, ...words, timedOut: true }));
    const guarded = Object.assign(lists(), { guard: { ...guard, printed } });
    const hostRun = new HostRun({
      lists: guarded,
      remote: REMOTE,
      session: { waits: true, command: run, rsync: run },
      stamp: "20261122T224501.123Z",
    });
    await expect(hostRun.all()).rejects.toMatchObject({ reason: "SyncTimeout" });
    expect([...hostRun.replaced]).toEqual([
      ["m/e/a", [{ path: "x", kept: "/var/lib/fssync/replaced/x.20261122T224501.123Z" }]],
    ]);
  });

  test("counts though the connection is lost then", async () => {
    const run: Run = async () => ({ ...NOTHING, exitCode: 255, stdout: said, stderr: REFUSED });
    const guarded = Object.assign(lists(), { guard: { ...guard, printed: undefined } });
    const hostRun = new HostRun({
      lists: guarded,
      remote: REMOTE,
      session: { waits: true, command: run, rsync: run },
      stamp: "20261122T224501.123Z",
    });
    await expect(hostRun.all()).rejects.toMatchObject({ reason: "ConnectRefused" });
    expect(hostRun.replaced.size).toBe(1);
  });
});
