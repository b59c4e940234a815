import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until, type FleetHost } from "../support/fleet.ts";
import { World, type Controller } from "../support/world.ts";
import { pathsOn, textOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
const SECRET = "ghp-secret-4242";

describe("the controller's life", () => {
  let world: World;
  let controller: Controller;
  let hosts: readonly FleetHost[];
  let first: FleetHost;
  let commits = 0;

  beforeAll(async () => {
    world = await World.create({
      hosts: 2,
      kind: "ports",
      files: { [`${WEB}/etc/a.conf`]: "0\n", [`${WEB}/etc/stays.conf`]: "stays\n" },
      spec: { sync: { maxDeletePercent: 100 } },
    });
    hosts = world.fleet.hosts;
    first = hosts[0]!;
    for (const host of hosts) await host.forceCommand(gated(host));
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  /** While `before` is there a session waits before it runs rsync; while `after` is there, when rsync is done. */
  function gated(host: FleetHost): string {
    const gate = join(world.dir, `gate-${host.port}`);
    const script = [
      `case "$SSH_ORIGINAL_COMMAND" in *rsync* | *fssync-batch*) ;; *) exec sh -c "$SSH_ORIGINAL_COMMAND" ;; esac`,
      // What it says then is heard by nobody, and must not be what ends it.
      `mv ${gate}.once ${gate}.held 2>/dev/null && { while [ -e ${gate}.held ]; do sleep 0.02; done; exec >/dev/null 2>&1; }`,
      `touch ${gate}.came; while [ -e ${gate}.before ]; do sleep 0.02; done`,
      `sh -c "$SSH_ORIGINAL_COMMAND"; code=$?`,
      `touch ${gate}.done; while [ -e ${gate}.after ]; do sleep 0.02; done; exit $code`,
    ];
    return `/bin/sh -c '${script.join("; ")}' sh`;
  }

  function gate(when: "before" | "after", closed: boolean, host = first): void {
    const file = join(world.dir, `gate-${host.port}`);
    if (!closed) return rmSync(`${file}.${when}`, { force: true });
    for (const mark of ["came", "done"]) rmSync(`${file}.${mark}`, { force: true });
    writeFileSync(`${file}.${when}`, "");
  }

  async function reached(mark: "came" | "done", host = first): Promise<void> {
    await until(() => existsSync(join(world.dir, `gate-${host.port}.${mark}`)), 15_000, `a sync to have ${mark}`);
  }

  async function commit(more: Record<string, string | null> = {}): Promise<string> {
    const text = `${++commits}\n`;
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: text, ...more });
    return text;
  }

  test("fault 41: SIGTERM lets a sync under way finish and records it; then nothing is left", async () => {
    gate("before", true);
    const text = await commit();
    await reached("came");
    const stopped = controller.stop();
    await until(() => controller.log.some(({ msg }) => msg === "told to stop"), 5000, "the signal to arrive");
    expect((await controller.get("/readyz")).status).toBe(503);
    gate("before", false);
    expect((await stopped).code).toBe(0);
    expect(controller.log.some(({ msg }) => msg === "drained")).toBe(true);
    expect(textOn(first, "etc/a.conf")).toBe(text);
    expect(await world.at(first)).toMatchObject({ state: "Synced" });
    expect(world.processes()).toEqual([]);
    await until(() => hosts.every((host) => host.sessions() === 0), 5000, "the hosts' sessions to end");
    controller = await world.start();
    await world.settled();
  });

  test("a second SIGTERM ends a sync that hangs, unrecorded, and the restart brings it forward", async () => {
    gate("before", true);
    const text = await commit();
    await reached("came");
    const { child } = controller.running;
    child.kill("SIGTERM");
    await until(() => controller.log.some(({ msg }) => msg === "told to stop"), 5000, "the signal to arrive");
    child.kill("SIGTERM");
    expect((await controller.running.ended).code).toBe(0);
    expect(world.processes()).toEqual([]);
    expect((await world.at(first))?.state).toBe("Pending");
    gate("before", false);
    controller = await world.start();
    await world.settled();
    expect(textOn(first, "etc/a.conf")).toBe(text);
  });

  for (const moment of ["before the first byte", "after the last byte, unrecorded"] as const) {
    test(`fault 41: SIGKILL ${moment}: the restart ends in the same state`, async () => {
      const when = moment.startsWith("before") ? "before" : "after";
      gate(when, true);
      const text = await commit({ [`${WEB}/etc/${when}.conf`]: "new\n" });
      await reached(when === "before" ? "came" : "done");
      await controller.kill();
      gate(when, false);
      controller = await world.start();
      await world.settled();
      for (const host of hosts) {
        expect(textOn(host, "etc/a.conf")).toBe(text);
        expect(textOn(host, `etc/${when}.conf`)).toBe("new\n");
      }
    });

    test(`SIGKILL ${moment}, then a revert: nothing of what was half sent stays`, async () => {
      const when = moment.startsWith("before") ? "before" : "after";
      const start = await world.repo.commitOf("main");
      const before = textOn(first, "etc/a.conf")!;
      gate(when, true);
      await commit({ [`${WEB}/etc/mistake-${when}.conf`]: "mistake\n", [`${WEB}/etc/stays.conf`]: null });
      await reached(when === "before" ? "came" : "done");
      await controller.kill();
      gate(when, false);
      await world.repo.git(["update-ref", "refs/heads/main", start!]);
      controller = await world.start();
      await world.settled();
      for (const host of hosts) {
        expect(textOn(host, `etc/mistake-${when}.conf`), String(host.port)).toBeUndefined();
        expect(textOn(host, "etc/a.conf")).toBe(before);
        expect(textOn(host, "etc/stays.conf")).toBe("stays\n");
      }
    });
  }

  test("fault 41: SIGKILL in the middle of many files, then a commit that removes them", async () => {
    const many = Object.fromEntries(
      Array.from({ length: 400 }, (_, index) => [`${WEB}/srv/many/${index}.bin`, `${index}\n`.repeat(2000)]),
    );
    await commit(many);
    await until(() => pathsOn(first).some((path) => path.startsWith("srv/many")), 15_000, "the first files to come");
    await controller.kill();
    await commit({ [`${WEB}/srv/many`]: null });
    controller = await world.start();
    await world.settled();
    for (const host of hosts) expect(pathsOn(host).filter((path) => path.startsWith("srv"))).toEqual([]);
  });

  test("SIGKILL again and again while commits come ends where Git is", async () => {
    for (let round = 0; round < 3; round++) {
      const seen = controller.logged("NewRevision").length;
      await commit({ [`${WEB}/etc/round-${round}.conf`]: "round\n", [`${WEB}/etc/round-${round - 1}.conf`]: null });
      await until(() => controller.logged("NewRevision").length > seen, 10_000, "the commit to be seen");
      await controller.kill();
      controller = await world.start();
    }
    await world.settled();
    for (const host of hosts) {
      expect(textOn(host, "etc/a.conf")).toBe(`${commits}\n`);
      expect(pathsOn(host).filter((path) => path.includes("round"))).toEqual(["etc/round-2.conf"]);
    }
  });

  test("fault 41: what a killed controller left running never writes after the restart", async () => {
    const start = await world.repo.commitOf("main");
    const before = textOn(first, "etc/a.conf");
    const held = join(world.dir, `gate-${first.port}.held`);
    for (const mark of ["came", "done"]) rmSync(join(world.dir, `gate-${first.port}.${mark}`), { force: true });
    // Holds the first session only: the killed controller's.
    writeFileSync(join(world.dir, `gate-${first.port}.once`), "");
    await commit({ [`${WEB}/etc/orphan.conf`]: "orphan\n" });
    await until(() => existsSync(held), 15_000, "a session to be held");
    await controller.kill();
    await world.repo.git(["update-ref", "refs/heads/main", start!]);
    controller = await world.start();
    await world.settled();
    const done = join(world.dir, `gate-${first.port}.done`);
    rmSync(done, { force: true });
    // The host was slow: it comes to the killed controller's command only now.
    rmSync(held);
    commits -= 1;
    await until(() => existsSync(done), 15_000, "the held session to end");
    expect(textOn(first, "etc/orphan.conf")).toBeUndefined();
    expect(textOn(first, "etc/a.conf")).toBe(before);
  });

  test("fault 45: a second controller on the data dir is refused and says who has it", async () => {
    const { code, stderr } = await world.run("run", "--listen", "127.0.0.1:0");
    expect(code).toBe(1);
    expect(stderr).toContain("DataDirInUse");
    expect(stderr).toContain(String(controller.running.child.pid));
    expect((await controller.get("/healthz")).status).toBe(200);
  });

  test("fault 44: a corrupt state.db is set aside loudly and every host is synced anew", async () => {
    await controller.kill();
    for (const suffix of ["-wal", "-shm"]) rmSync(join(world.dataDir, `state.db${suffix}`), { force: true });
    writeFileSync(join(world.dataDir, "state.db"), "this is no database, it only looks like a file\n".repeat(200));
    rmSync(join(first.dir, "etc/a.conf"));
    const text = (await world.repo.git(["show", `main:${WEB}/etc/a.conf`])).toString();
    controller = await world.start();
    await world.settled();
    expect(textOn(first, "etc/a.conf")).toBe(text);
    expect(textOn(first, "etc/round-2.conf")).toBe("round\n");
    expect(controller.log.filter(({ level }) => level === "error")).toHaveLength(1);
    expect(readdirSync(world.dataDir).filter((name) => name.startsWith("state.db.corrupt-"))).toHaveLength(1);
    expect(await controller.metric(`fssync_sync_total{repo="files",result="success"}`)).toBe(2);
  });

  test("a data dir that was removed is a new beginning: everything is sent, nothing is deleted by guess", async () => {
    await controller.stop();
    rmSync(world.dataDir, { recursive: true });
    await commit({ [`${WEB}/etc/round-2.conf`]: null });
    controller = await world.start();
    await world.settled();
    expect(textOn(first, "etc/a.conf")).toBe(`${commits}\n`);
    expect(textOn(first, "etc/round-2.conf"), "nobody knows whose it is").toBe("round\n");
  });

  test("no secret is in any output, log, file of the store or command line of a child", async () => {
    await controller.stop();
    await world.putSecret("git", { username: "bot", password: SECRET });
    await world.configure({ git: { url: "https://127.0.0.1:1/ops/files.git", secretRef: { name: "git" } } });
    controller = await world.start();
    await until(() => controller.logged("FetchFailed").length > 0, 15_000, "the fetch to fail");
    await controller.stop();
    // So that there are programs whose command lines can be looked at.
    await world.configure({ ssh: { client: "openssh" } });
    controller = await world.start();

    const identity = readFileSync(world.fleet.identityFile, "utf8").split("\n")[2]!;
    const secrets = [SECRET, identity];
    gate("before", true);
    await commit();
    await reached("came");
    const commands = world.processes().map(({ command }) => command);
    expect(commands.some((command) => command.includes("rsync"))).toBe(true);
    gate("before", false);
    await world.settled();
    const outputs = [
      ...commands,
      controller.running.stdout + controller.running.stderr,
      JSON.stringify(await world.status()),
      (await world.run("sync", "--full", "--log-level", "trace")).stderr,
      await controller.metrics(),
      ...readdirSync(world.dataDir)
        .filter((name) => /^(state\.db|controller)/.test(name))
        .map((name) => readFileSync(join(world.dataDir, name), "latin1")),
    ];
    for (const secret of secrets) {
      expect(outputs.filter((text) => text.includes(secret))).toEqual([]);
    }
  });

  test("a one-shot sync that is told to stop ends its work, records nothing of it and leaves nothing behind", async () => {
    await controller.stop();
    gate("before", true);
    await commit();
    const sync = world.spawn(["sync"]);
    await reached("came");
    sync.child.kill("SIGTERM");
    expect((await sync.ended).code).toBe(2);
    gate("before", false);
    expect(world.processes()).toEqual([]);
    expect((await world.at(first))?.state).toBe("Pending");
    expect((await world.run("sync")).code).toBe(0);
    expect(await world.at(first)).toMatchObject({ state: "Synced" });
  });
});
