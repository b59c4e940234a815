import { chmodSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until, type FleetHost } from "../support/fleet.ts";
import { World, type Controller } from "../support/world.ts";
import { fileOn, pathsOn, putOn, textOn, touchedBetween, touchesOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
const asRoot = process.getuid?.() === 0;

describe("hosts follow Git", () => {
  let world: World;
  let controller: Controller;
  let hosts: readonly FleetHost[];
  let first: FleetHost;

  beforeAll(async () => {
    world = await World.create({
      hosts: 3,
      kind: "ports",
      files: {
        "README.md": "about\n",
        [`${WEB}/.gitkeep`]: "",
        [`${WEB}/.fssync.yaml`]: "{}\n",
        [`${WEB}/etc/nginx/nginx.conf`]: "user www;\n",
        [`${WEB}/etc/nginx/conf.d/a.conf`]: "a1\n",
        [`${WEB}/etc/nginx/conf.d/b.conf`]: "b1\n",
        [`${WEB}/etc/nginx/enabled/site`]: { symlink: "../conf.d/a.conf" },
        [`${WEB}/usr/local/bin/check`]: { executable: "#!/bin/sh\n" },
        [`${WEB}/etc/motd`]: "the app's own\n",
        "nginx/prod/common_files/etc/motd": "everybody's\n",
        "nginx/prod/common_files/etc/hosts.allow": "all\n",
      },
      spec: { layout: { common: "common_files" }, sync: { maxDeletePercent: 100 } },
    });
    hosts = [...world.fleet.hosts];
    first = hosts[0]!;
    for (const host of hosts) putOn(host, "etc/passwd", "not fssync's\n");
    chmodSync(join(first.dir, "etc"), 0o711);
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  test("the first sync lays every file with its bytes, mode and owner, and only those", () => {
    for (const host of hosts) {
      expect(pathsOn(host)).toEqual([
        "etc",
        "etc/hosts.allow",
        "etc/motd",
        "etc/nginx",
        "etc/nginx/conf.d",
        "etc/nginx/conf.d/a.conf",
        "etc/nginx/conf.d/b.conf",
        "etc/nginx/enabled",
        "etc/nginx/enabled/site",
        "etc/nginx/nginx.conf",
        "etc/passwd",
        "usr",
        "usr/local",
        "usr/local/bin",
        "usr/local/bin/check",
      ]);
      const me = { uid: process.getuid!(), gid: process.getgid!() };
      expect(fileOn(host, "etc/nginx/nginx.conf")).toEqual({ ...me, mode: 0o644, text: "user www;\n" });
      expect(fileOn(host, "usr/local/bin/check")).toEqual({ ...me, mode: 0o755, text: "#!/bin/sh\n" });
      expect(fileOn(host, "etc/nginx/enabled/site")).toMatchObject({ link: "../conf.d/a.conf" });
      expect(fileOn(host, "etc/nginx")).toMatchObject({ mode: 0o755 });
    }
  });

  test("folders that were there keep their mode", () => {
    expect(fileOn(first, "etc")).toMatchObject({ mode: 0o711 });
  });

  test("an app's own file lies over the one of common_files", () => {
    expect(textOn(first, "etc/motd")).toBe("the app's own\n");
    expect(textOn(first, "etc/hosts.allow")).toBe("all\n");
  });

  test("a change of one file touches that file and nothing else on the host", async () => {
    const before = touchesOn(first);
    await world.repo.commit({ [`${WEB}/etc/nginx/conf.d/a.conf`]: "a2\n" });
    await world.settled();
    expect(touchedBetween(before, touchesOn(first))).toEqual(["etc/nginx/conf.d", "etc/nginx/conf.d/a.conf"]);
    for (const host of hosts) expect(textOn(host, "etc/nginx/conf.d/a.conf")).toBe("a2\n");
  });

  test("a change of common_files reaches the hosts of every app under it", async () => {
    await world.repo.commit({
      "nginx/prod/common_files/etc/hosts.allow": "none\n",
      "nginx/prod/common_files/etc/motd": "everybody's, new\n",
    });
    await world.settled();
    for (const host of hosts) expect(textOn(host, "etc/hosts.allow")).toBe("none\n");
    expect(textOn(first, "etc/motd")).toBe("the app's own\n");
  });

  test("where an app's own file goes, the one of common_files appears", async () => {
    await world.repo.commit({ [`${WEB}/etc/motd`]: null });
    await world.settled();
    for (const host of hosts) expect(textOn(host, "etc/motd")).toBe("everybody's, new\n");
  });

  test("fault 8: a renamed file is at its new path only", async () => {
    await world.repo.commit({
      [`${WEB}/etc/nginx/conf.d/b.conf`]: null,
      [`${WEB}/etc/nginx/conf.d/c.conf`]: "b1\n",
    });
    await world.settled();
    for (const host of hosts) {
      expect(textOn(host, "etc/nginx/conf.d/b.conf")).toBeUndefined();
      expect(textOn(host, "etc/nginx/conf.d/c.conf")).toBe("b1\n");
    }
  });

  test("a deleted file goes with the folders it leaves empty; folders with other people's files stay", async () => {
    await world.repo.commit({
      [`${WEB}/srv/a/b/c/deep.txt`]: "deep\n",
      [`${WEB}/srv/shared/ours.txt`]: "ours\n",
    });
    await world.settled();
    putOn(first, "srv/shared/theirs.txt", "theirs\n");
    await world.repo.commit({ [`${WEB}/srv`]: null });
    await world.settled();
    expect(pathsOn(first).filter((path) => path.startsWith("srv"))).toEqual([
      "srv",
      "srv/shared",
      "srv/shared/theirs.txt",
    ]);
    expect(pathsOn(hosts[1]!).filter((path) => path.startsWith("srv"))).toEqual([]);
  });

  test("fault 9: a folder becomes a file, and a file a folder", async () => {
    await world.repo.commit({ [`${WEB}/opt/thing/part.conf`]: "part\n", [`${WEB}/opt/other`]: "other\n" });
    await world.settled();
    await world.repo.commit({
      [`${WEB}/opt/thing/part.conf`]: null,
      [`${WEB}/opt/other`]: null,
      [`${WEB}/opt/thing`]: "now a file\n",
      [`${WEB}/opt/other/part.conf`]: "below\n",
    });
    await world.settled();
    for (const host of hosts) {
      expect(textOn(host, "opt/thing")).toBe("now a file\n");
      expect(textOn(host, "opt/other/part.conf")).toBe("below\n");
    }
  });

  test("a commit that changes no app's file opens no connection", async () => {
    const before = await controller.metric(`fssync_sync_total{repo="files",result="success"}`);
    const touches = touchesOn(first);
    await world.repo.commit({ "README.md": "about, again\n" });
    await world.settled();
    expect(await controller.metric(`fssync_sync_total{repo="files",result="success"}`)).toBe(before);
    expect(touchedBetween(touches, touchesOn(first))).toEqual([]);
  });

  test("a change and its revert in one fetch open no connection", async () => {
    const before = await controller.metric(`fssync_sync_total{repo="files",result="success"}`);
    const touches = touchesOn(first);
    const start = await world.repo.commitOf("main");
    await world.repo.git(["update-ref", "refs/heads/work", start!]);
    await world.repo.commit({ [`${WEB}/etc/nginx/conf.d/a.conf`]: "mistake\n" }, { branch: "work" });
    const reverted = await world.repo.commit({ [`${WEB}/etc/nginx/conf.d/a.conf`]: "a2\n" }, { branch: "work" });
    await world.repo.git(["update-ref", "refs/heads/main", reverted]);
    await world.settled();
    expect(await controller.metric(`fssync_sync_total{repo="files",result="success"}`)).toBe(before);
    expect(touchedBetween(touches, touchesOn(first))).toEqual([]);
    expect(textOn(first, "etc/nginx/conf.d/a.conf")).toBe("a2\n");
  });

  test.runIf(asRoot)("owner, group and mode come from .gitattributes", async () => {
    await world.repo.commit({
      "nginx/.gitattributes": "etc/ssl/** group=daemon\n*.key owner=daemon group=daemon mode=0640\n",
      [`${WEB}/etc/ssl/tls.key`]: "secret\n",
      [`${WEB}/etc/ssl/tls.crt`]: "public\n",
    });
    await world.settled();
    for (const host of hosts) {
      expect(fileOn(host, "etc/ssl/tls.key")).toEqual({ uid: 1, gid: 1, mode: 0o640, text: "secret\n" });
      expect(fileOn(host, "etc/ssl/tls.crt")).toEqual({ uid: 0, gid: 0, mode: 0o644, text: "public\n" });
    }
  });

  test.runIf(asRoot)("a change of .gitattributes alone changes owner and mode on the hosts", async () => {
    await world.repo.commit({ "nginx/.gitattributes": "*.key owner=root group=daemon mode=0600\n" });
    await world.settled();
    for (const host of hosts) {
      expect(fileOn(host, "etc/ssl/tls.key")).toEqual({ uid: 0, gid: 1, mode: 0o600, text: "secret\n" });
    }
  });

  test("fault 12: a file whose owner is unknown on the host is given to nobody else, and its app alone fails", async () => {
    await world.assign("nginx/prod/api", [first]);
    await world.repo.commit({
      "nginx/prod/api/.gitattributes": "etc/api.key owner=nobodyknowsme\n",
      "nginx/prod/api/etc/api.key": "key\n",
      [`${WEB}/etc/sibling.conf`]: "sibling\n",
    });
    await world.shows(first, "Failed", { app: "nginx/prod/api", reason: "InvalidOwner" });
    await world.shows(first, "Synced");
    expect((await world.at(first, "nginx/prod/api"))?.message).toContain("nobodyknowsme");
    expect(textOn(first, "etc/api.key")).toBeUndefined();
    expect(textOn(first, "etc/sibling.conf")).toBe("sibling\n");
    // The log follows the store.
    await until(() => controller.logged("InvalidOwner").length > 0, 10_000, "the failure to be told");
    expect(controller.logged("InvalidOwner")).toHaveLength(1);

    await world.repo.commit({ "nginx/prod/api/.gitattributes": null });
    await world.settled();
    expect(textOn(first, "etc/api.key")).toBe("key\n");
  });

  test("a host that was down gets all the commits it missed, and nobody waited for it", async () => {
    const late = hosts[2]!;
    await late.down();
    await world.repo.commit({ [`${WEB}/etc/one.conf`]: "1\n", [`${WEB}/etc/nginx/conf.d/c.conf`]: null });
    await world.settled(2);
    await world.shows(late, "Unreachable", { reason: "ConnectRefused" });
    await world.repo.commit({ [`${WEB}/etc/two.conf`]: "2\n" });
    await world.settled(2);
    expect(textOn(late, "etc/one.conf")).toBeUndefined();
    const failures = () =>
      controller.logged("SyncFailed").filter(({ host }) => host === `${late.address}:${late.port}`);
    await until(() => failures().length > 0, 10_000, "the failure to be told");
    expect(failures()).toHaveLength(1);
    expect(failures()[0]).toMatchObject({ reason: "ConnectRefused", app: WEB });

    await late.up();
    await world.settled();
    expect(textOn(late, "etc/one.conf")).toBe("1\n");
    expect(textOn(late, "etc/two.conf")).toBe("2\n");
    expect(textOn(late, "etc/nginx/conf.d/c.conf")).toBeUndefined();
  });

  test("a host that the CMDB adds is synced, the others are not touched", async () => {
    const before = touchesOn(first);
    const added = await world.addHost();
    await world.assign(WEB, [...hosts, added]);
    await world.settled(4);
    expect(textOn(added, "etc/two.conf")).toBe("2\n");
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
    const told = controller.logged("HostAdded");
    expect(told.at(-1)).toMatchObject({ count: 1, hosts: [`${added.address}:${added.port}`] });
  });

  test("fault 24: a host that leaves the CMDB is not synced any more and keeps its files", async () => {
    const gone = world.fleet.hosts[3]!;
    const before = touchesOn(gone);
    await world.assign(WEB, hosts);
    await until(() => controller.logged("HostRemoved").length === 1, 10_000, "the host to be removed");
    await world.repo.commit({ [`${WEB}/etc/three.conf`]: "3\n" });
    await world.settled(3);
    expect(touchedBetween(before, touchesOn(gone))).toEqual([]);
    expect(await world.at(gone)).toBeUndefined();
  });

  test("fault 24: a host that moves to another app gets that app's files", async () => {
    const moved = hosts[2]!;
    await world.assign("nginx/prod/api", [first, moved]);
    await world.assign(WEB, hosts.slice(0, 2));
    await world.when(
      ({ hosts: found }) =>
        found.find(({ port }) => port === moved.port)?.apps.every(({ app }) => app === "nginx/prod/api") === true,
      "the host to run the other app",
    );
    await world.shows(moved, "Synced", { app: "nginx/prod/api" });
    expect(textOn(moved, "etc/api.key")).toBe("key\n");
    await world.assign("nginx/prod/api", [first]);
    await world.assign(WEB, hosts);
    await world.settled(3);
  });

  test("fault 14: of two apps that claim one path nothing is sent, both are named, a commit solves it", async () => {
    const touches = touchesOn(first);
    await world.repo.commit({
      "nginx/prod/api/etc/nginx/nginx.conf": "mine\n",
      "nginx/prod/api/etc/api2.conf": "more\n",
      [`${WEB}/etc/four.conf`]: "4\n",
    });
    await world.shows(first, "Conflict", { reason: "PathConflict" });
    await world.shows(first, "Conflict", { app: "nginx/prod/api", reason: "PathConflict" });
    expect((await world.at(first))?.message).toBe("/etc/nginx/nginx.conf is claimed by nginx/prod/api too");
    expect((await world.at(first, "nginx/prod/api"))?.message).toBe(
      "/etc/nginx/nginx.conf is claimed by nginx/prod/web too",
    );
    expect(touchedBetween(touches, touchesOn(first))).toEqual([]);
    // Where only one of the two runs there is no conflict.
    await world.shows(hosts[1]!, "Synced");
    expect(textOn(hosts[1]!, "etc/four.conf")).toBe("4\n");

    await world.repo.commit({ "nginx/prod/api/etc/nginx/nginx.conf": null });
    await world.settled(3);
    expect(textOn(first, "etc/nginx/nginx.conf")).toBe("user www;\n");
    expect(textOn(first, "etc/four.conf")).toBe("4\n");
    expect(textOn(first, "etc/api2.conf")).toBe("more\n");
  });

  test("a file that moves from one app to another on the same host is never lost", async () => {
    await world.repo.commit({ [`${WEB}/etc/four.conf`]: null, "nginx/prod/api/etc/four.conf": "4 of api\n" });
    await world.settled(3);
    expect(textOn(first, "etc/four.conf")).toBe("4 of api\n");
    expect(textOn(hosts[1]!, "etc/four.conf")).toBeUndefined();
  });

  test("what is not fssync's was never touched", () => {
    for (const host of hosts) expect(textOn(host, "etc/passwd")).toBe("not fssync's\n");
    expect(textOn(first, "srv/shared/theirs.txt")).toBe("theirs\n");
  });
});
