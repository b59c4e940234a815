import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodePath, encodePath } from "../../src/model/path.ts";
import { until, type FleetHost } from "../support/fleet.ts";
import { World, type Controller } from "../support/world.ts";
import { pathsOn, textOn, touchedBetween, touchesOn } from "./on-host.ts";

const WEB = "nginx/prod/web";

describe("Git fails, and the hosts keep what was last good", () => {
  let world: World;
  let controller: Controller;
  let first: FleetHost;
  let second: FleetHost;

  beforeAll(async () => {
    world = await World.create({
      hosts: 2,
      kind: "ports",
      files: {
        [`${WEB}/etc/a.conf`]: "a1\n",
        [`${WEB}/etc/b.conf`]: "b1\n",
        [`${WEB}/etc/c.conf`]: "c1\n",
        [`${WEB}/etc/d.conf`]: "d1\n",
        [`${WEB}/etc/e.conf`]: "e1\n",
      },
    });
    [first, second] = world.fleet.hosts as [FleetHost, FleetHost];
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  /** Waits until the repo shows just this problem. */
  async function problem(reason: string): Promise<string> {
    const report = await world.when(({ problems = [] }) => problems.some((one) => one.reason === reason), reason);
    return report.problems!.find((one) => one.reason === reason)!.message;
  }

  async function noProblem(): Promise<void> {
    await world.when(({ problems = [] }) => problems.length === 0, "all problems to be over");
  }

  test("fault 1: while the remote is away hosts that lag are synced from the mirror, and it is told once", async () => {
    await world.assign(WEB, [first]);
    await world.when(({ hosts }) => hosts.length === 1, "the second host to leave");
    await rename(world.repo.path, `${world.repo.path}.away`);
    await problem("FetchFailed");
    const failures = await controller.metric(`fssync_git_fetch_total{repo="files",result="failure"}`);
    await until(
      async () => (await controller.metric(`fssync_git_fetch_total{repo="files",result="failure"}`))! > failures!,
      15_000,
      "another fetch to fail",
    );
    expect(controller.logged("FetchFailed")).toHaveLength(1);
    rmSync(join(second.dir, "etc"), { recursive: true });
    await world.assign(WEB, [first, second]);
    await world.shows(second, "Synced");
    expect(textOn(second, "etc/a.conf")).toBe("a1\n");
  });

  test("fault 1: also across a restart, and what was committed meanwhile arrives when it is back", async () => {
    expect((await controller.stop()).code).toBe(0);
    rmSync(join(second.dir, "etc"), { recursive: true });
    controller = await world.start();
    await until(() => controller.logged("FetchFailed").length === 1, 10_000, "the fetch to fail again");
    const report = await world.peek();
    expect(report.hosts.map(({ state }) => state)).toEqual(["Synced", "Synced"]);
    expect((await world.run("sync", "--full")).code, "the sync went on, Git did not answer").toBe(1);
    expect(textOn(second, "etc/a.conf")).toBe("a1\n");

    await rename(`${world.repo.path}.away`, world.repo.path);
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a2\n" });
    await world.settled();
    await noProblem();
    expect(textOn(first, "etc/a.conf")).toBe("a2\n");
    expect(controller.log.filter(({ msg, about }) => msg === "in order again" && about === "git")).toHaveLength(1);
  });

  test("fault 5: after a force-push deletes are still exact, over whatever history", async () => {
    await world.repo.forcePush({
      [`${WEB}/etc/a.conf`]: "a3\n",
      [`${WEB}/etc/b.conf`]: "b1\n",
      [`${WEB}/etc/c.conf`]: "c1\n",
      [`${WEB}/etc/d.conf`]: "d1\n",
    });
    await world.repo.prune();
    const before = touchesOn(first);
    await world.settled();
    expect(touchedBetween(before, touchesOn(first))).toEqual(["etc", "etc/a.conf", "etc/e.conf"]);
    expect(textOn(first, "etc/e.conf")).toBeUndefined();
  });

  test("a force-push of the same files opens no connection", async () => {
    const before = touchesOn(first);
    await world.repo.forcePush({
      [`${WEB}/etc/a.conf`]: "a3\n",
      [`${WEB}/etc/b.conf`]: "b1\n",
      [`${WEB}/etc/c.conf`]: "c1\n",
      [`${WEB}/etc/d.conf`]: "d1\n",
      "README.md": "new history\n",
    });
    await world.settled();
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
  });

  test("fault 5: a base that is lost makes a full sync, and nothing is deleted by guess", async () => {
    await controller.kill();
    rmSync(join(world.dataDir, "repos", "files", "git"), { recursive: true });
    await world.repo.forcePush({ [`${WEB}/etc/a.conf`]: "a4\n", [`${WEB}/etc/b.conf`]: "b1\n" });
    await world.repo.prune();
    controller = await world.start();
    await world.settled();
    for (const host of [first, second]) {
      expect(textOn(host, "etc/a.conf")).toBe("a4\n");
      expect(textOn(host, "etc/d.conf"), "nobody knows whose it is").toBe("d1\n");
    }
  });

  test("fault 6: a branch that is gone is held, and obeyed again when it returns", async () => {
    const before = touchesOn(first);
    const head = await world.repo.commitOf("main");
    await world.repo.removeBranch();
    expect(await problem("BranchMissing")).toContain("main");
    expect((await world.peek()).hosts.map(({ state }) => state)).toEqual(["Synced", "Synced"]);
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
    await world.repo.git(["update-ref", "refs/heads/main", head!]);
    await noProblem();
    await world.settled();
  });

  test("fault 6: a tree without any app is held: nothing is deleted", async () => {
    const before = touchesOn(first);
    const head = await world.repo.commitOf("main");
    await world.repo.forcePush({ "README.md": "all gone\n" });
    await problem("EmptyTree");
    const report = await world.peek();
    expect(report.revision).toContain(head);
    expect(report.apps).toHaveLength(1);
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
    await world.repo.git(["update-ref", "refs/heads/main", head!]);
    await noProblem();
    await world.settled();
  });

  test("faults 2, 3: a mirror with stale locks and damaged packs after a kill is mended", async () => {
    await controller.kill();
    const mirror = join(world.dataDir, "repos", "files", "git");
    writeFileSync(join(mirror, "packed-refs.lock"), "");
    writeFileSync(join(mirror, "config.lock"), "");
    const objects = readdirSync(join(mirror, "objects"), { recursive: true, encoding: "utf8" });
    for (const name of objects.filter((path) => /\.(pack|idx)$|^[0-9a-f]{2}\/[0-9a-f]{38}$/.test(path))) {
      rmSync(join(mirror, "objects", name));
    }
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a5\n" });
    controller = await world.start();
    await world.settled();
    await noProblem();
    expect(textOn(second, "etc/a.conf")).toBe("a5\n");
  });

  test("faults 10, 13: unusual names and bytes arrive as they are", async () => {
    const latin = decodePath(Buffer.from([0x63, 0x61, 0x66, 0xe9]));
    const names = ["#hash", ";semi", "new\nline", "quo\"te's", "-dash", "$(id)", "a b", "ü*?[x]", latin];
    const bytes = Buffer.from("$Id$\r\nline\r\n\0\xff\n", "latin1");
    await world.repo.commit({
      ".gitattributes": "* text=auto eol=lf ident working-tree-encoding=UTF-16\n",
      ...Object.fromEntries(names.map((name) => [`${WEB}/srv/${name}`, bytes])),
    });
    await world.settled();
    for (const name of names) {
      const file = Buffer.concat([Buffer.from(`${first.dir}/srv/`), encodePath(name)]);
      expect(await readFile(file), name).toEqual(bytes);
    }
    await world.repo.commit({
      ".gitattributes": null,
      ...Object.fromEntries(names.slice(0, 2).map((n) => [`${WEB}/srv/${n}`, null])),
    });
    await world.settled();
    expect(pathsOn(first).filter((path) => path.startsWith("srv/"))).toHaveLength(names.length - 2);
  });

  test("faults 11, 12: an app that cannot be sent is refused by name, its siblings go on", async () => {
    const refused = {
      "nginx/prod/sub": ["UnsupportedFile", { "etc/sub": { submodule: "1".repeat(40) } }],
      "nginx/prod/shell": [
        "InvalidAttributes",
        { ".gitattributes": "* owner=$(touch${IFS}/tmp/fssync-pwned)\n", "etc/shell": "x\n" },
      ],
      "nginx/prod/modes": ["InvalidAttributes", { ".gitattributes": "* mode=7777x\n", "etc/modes": "x\n" }],
    } as const;
    for (const app of Object.keys(refused)) await world.assign(app as typeof WEB, [first]);
    await world.repo.commit({
      [`${WEB}/etc/a.conf`]: "a6\n",
      ...Object.fromEntries(
        Object.entries(refused).flatMap(([app, [, files]]) =>
          Object.entries(files).map(([path, file]) => [`${app}/${path}`, file]),
        ),
      ),
    });
    for (const [app, [reason]] of Object.entries(refused)) {
      await world.shows(first, "Failed", { app: app as typeof WEB, reason });
    }
    await world.shows(first, "Synced");
    await world.shows(second, "Synced");
    expect(textOn(first, "etc/a.conf")).toBe("a6\n");
    expect(pathsOn(first).filter((path) => /etc\/(sub|shell|modes)/.test(path))).toEqual([]);
    expect(readdirSync("/tmp")).not.toContain("fssync-pwned");
    expect((await world.at(first, "nginx/prod/sub"))?.message).toContain("etc/sub");
    const status = await world.status();
    expect(status.repos[0]!.apps.find(({ app }) => app === "shell")).toMatchObject({
      state: "Failed",
      reason: "InvalidAttributes",
    });
  });
});
