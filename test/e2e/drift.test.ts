import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { namespaceUnavailable, until, type FleetHost } from "../support/fleet.ts";
import { World, type Controller } from "../support/world.ts";
import { fileOn, putOn, textOn, touchedBetween, touchesOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
const APP = `repo="files",mod="nginx",env="prod",app="web"`;
const DRIFTED = `fssync_drifted_files{${APP}}`;
const RECURRING = `fssync_drift_recurring_files{${APP}}`;
const DETECTED = "ConfigDriftDetected";
const LAID_OVER = "files changed by hand were laid over by a sync";

/** Versions of a file that its host keeps, oldest first. */
function keptOn(host: FleetHost, path: string): { file: string; text: string; mode: number }[] {
  const whole = join(host.dir, "var/lib/fssync/replaced", path);
  const [folder, name] = [join(whole, ".."), `${whole.split("/").at(-1)}.`];
  if (!existsSync(folder)) return [];
  const versions = readdirSync(folder).filter((version) => version.startsWith(name) && /\d{8}T\d{6}/.test(version));
  return versions.toSorted().map((version) => {
    const file = join(folder, version);
    return { file, text: readFileSync(file, "utf8"), mode: lstatSync(file).mode & 0o7777 };
  });
}

function messages(controller: Controller, message: string): Record<string, unknown>[] {
  return controller.log.filter(({ msg }) => msg === message);
}

/** Looks at hosts so far. */
async function looks(controller: Controller): Promise<number> {
  const lines = (await controller.metrics()).split("\n").filter((line) => line.startsWith("fssync_verify_total{"));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

async function moreLooks(controller: Controller, count: number): Promise<void> {
  const before = await looks(controller);
  await until(async () => (await looks(controller)) >= before + count, 20_000, `${count} more looks`);
}

describe("files that somebody changes on a host are told", () => {
  let world: World;
  let controller: Controller;
  let first: FleetHost;
  let second: FleetHost;

  beforeAll(async () => {
    world = await World.create({
      hosts: 2,
      kind: "ports",
      files: {
        [`${WEB}/etc/a.conf`]: "a\n",
        [`${WEB}/etc/b.conf`]: "b\n",
        [`${WEB}/etc/c.conf`]: "c\n",
        [`${WEB}/etc/d.conf`]: "d\n",
        [`${WEB}/etc/e.conf`]: "e\n",
        [`${WEB}/etc/link`]: { symlink: "a.conf" },
        [`${WEB}/run/web.pid`]: "0\n",
        [`${WEB}/etc/local/site.conf`]: "site\n",
      },
      spec: {
        drift: { interval: "1s", ignore: ["*.pid", "/etc/local/**"] },
        ssh: { connectTimeout: "1s" },
      },
    });
    [first, second] = world.fleet.hosts as [FleetHost, FleetHost];
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  async function changesOn(host: FleetHost): Promise<Record<string, string>> {
    const files = (await world.at(host))?.files ?? [];
    return Object.fromEntries(files.map(({ path, change }) => [path, change]));
  }

  async function seen(host: FleetHost, expected: Record<string, string>): Promise<void> {
    const same = async () => JSON.stringify(await changesOn(host)) === JSON.stringify(expected);
    await until(same, 15_000, "the drift to be seen").catch(async () => {
      expect(await changesOn(host)).toEqual(expected);
    });
  }

  test("hosts that are as they were left are looked at, and nothing is written there or told", async () => {
    const before = [first, second].map(touchesOn);
    await moreLooks(controller, 6);
    const after = [first, second].map(touchesOn);
    expect(after.map((touches, index) => touchedBetween(before[index]!, touches))).toEqual([[], []]);
    expect(controller.logged(DETECTED)).toEqual([]);
    expect(await controller.metric(DRIFTED)).toBe(0);
  });

  test("edited, gone, another mode, a folder, another target: each by its name, worst first", async () => {
    putOn(first, "etc/a.conf", "by hand\n");
    rmSync(join(first.dir, "etc/b.conf"));
    chmodSync(join(first.dir, "etc/c.conf"), 0o600);
    rmSync(join(first.dir, "etc/d.conf"));
    mkdirSync(join(first.dir, "etc/d.conf"));
    rmSync(join(first.dir, "etc/link"));
    symlinkSync("b.conf", join(first.dir, "etc/link"));
    await seen(first, {
      "/etc/b.conf": "missing",
      "/etc/d.conf": "type",
      "/etc/a.conf": "content",
      "/etc/link": "content",
      "/etc/c.conf": "mode",
    });
    expect(await world.at(first)).toMatchObject({ state: "Drifted" });
    expect(await world.at(second)).toMatchObject({ state: "Synced" });
    expect(await controller.metric(DRIFTED)).toBe(5);
    const host = `${first.address}:${first.port}`;
    const told = controller.logged(DETECTED);
    expect(new Set(told.map((line) => line["host"]))).toEqual(new Set([host]));
    expect(told.flatMap(({ files }) => files as string[])).toContain("/etc/a.conf (content)");
  });

  test("is told once, and nothing is done about it", async () => {
    const told = controller.logged(DETECTED).length;
    const before = touchesOn(first);
    await moreLooks(controller, 6);
    expect(controller.logged(DETECTED)).toHaveLength(told);
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
    expect(textOn(first, "etc/a.conf")).toBe("by hand\n");
  });

  test("is known after the process was killed", async () => {
    await controller.kill();
    controller = await world.start();
    expect(await controller.metric(DRIFTED)).toBe(5);
    await moreLooks(controller, 4);
    expect(controller.logged(DETECTED)).toEqual([]);
  });

  test("is over when somebody puts the files right", async () => {
    rmSync(join(first.dir, "etc/d.conf"), { recursive: true });
    rmSync(join(first.dir, "etc/link"));
    symlinkSync("a.conf", join(first.dir, "etc/link"));
    for (const name of ["a", "b", "c", "d"]) {
      putOn(first, `etc/${name}.conf`, `${name}\n`);
      chmodSync(join(first.dir, `etc/${name}.conf`), 0o644);
    }
    await world.shows(first, "Synced");
    await until(async () => (await controller.metric(DRIFTED)) === 0, 5000, "the metric to be zero again");
    expect(await world.at(first)).not.toHaveProperty("files");
  });

  test("not of paths that drift.ignore names", async () => {
    putOn(first, "run/web.pid", "4242\n");
    putOn(first, "etc/local/site.conf", "by hand\n");
    await moreLooks(controller, 6);
    expect(await world.at(first)).toMatchObject({ state: "Synced" });
    expect(await controller.metric(DRIFTED)).toBe(0);
  });

  test("a commit that changes an edited file wins; the host's version is kept, and it is called a conflict", async () => {
    putOn(second, "etc/a.conf", "by hand\n");
    putOn(second, "etc/e.conf", "by hand too\n");
    chmodSync(join(second.dir, "etc/a.conf"), 0o640);
    await world.shows(second, "Drifted");
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a2\n" });
    await until(() => textOn(second, "etc/a.conf") === "a2\n", 15_000, "the commit to be on the host");
    await seen(second, { "/etc/e.conf": "content" });
    expect(keptOn(second, "etc/a.conf")).toMatchObject([{ text: "by hand\n", mode: 0o640 }]);
    expect(keptOn(first, "etc/a.conf")).toEqual([]);
    const [kept] = keptOn(second, "etc/a.conf");
    expect((await world.at(second))?.replaced).toMatchObject([
      { path: "/etc/a.conf", change: "conflict", kept: kept!.file },
    ]);
    await until(() => messages(controller, LAID_OVER).length > 0, 5000, "the log to tell of it");
    expect(messages(controller, LAID_OVER)).toMatchObject([
      {
        event: DETECTED,
        host: `${second.address}:${second.port}`,
        files: [`/etc/a.conf (conflict, kept as ${kept!.file})`],
      },
    ]);
    expect(await controller.metric(`fssync_drift_replaced_files_total{repo="files"}`)).toBe(1);
    putOn(second, "etc/e.conf", "e\n");
    await world.settled();
  });

  test("a host that is down is Unreachable until it can be looked at again", async () => {
    await second.down();
    await world.shows(second, "Unreachable", { reason: "ConnectRefused" });
    expect(await world.at(first)).toMatchObject({ state: "Synced" });
    await second.up();
    await world.settled();
    expect(await world.at(second)).not.toHaveProperty("reason");
  });

  test("a full sync heals, and keeps what it lays over", async () => {
    putOn(first, "etc/b.conf", "by hand\n");
    await world.shows(first, "Drifted");
    const { code, stderr } = await world.run("sync", "--full");
    expect([code, stderr]).toMatchObject([0, expect.any(String)]);
    expect(textOn(first, "etc/b.conf")).toBe("b\n");
    expect(keptOn(first, "etc/b.conf")).toMatchObject([{ text: "by hand\n" }]);
    await world.settled();
  });
});

describe("files that somebody changes on a host are healed", () => {
  let world: World;
  let controller: Controller;
  let host: FleetHost;

  beforeAll(async () => {
    world = await World.create({
      hosts: 2,
      kind: "ports",
      files: {
        [`${WEB}/etc/a.conf`]: "a\n",
        [`${WEB}/etc/b.conf`]: "b\n",
        [`${WEB}/etc/deep/c.conf`]: "c\n",
        [`${WEB}/etc/d.conf`]: "d\n",
      },
      spec: { drift: { interval: "1s", action: "heal" } },
    });
    host = world.fleet.hosts[0]!;
    for (const each of world.fleet.hosts) await each.forceCommand(gated());
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  /** While `before` is there a session waits before what it was asked for; while `after` is there, when that is done. */
  function gated(): string {
    const gate = join(world.dir, "gate");
    const script = [
      `case "$SSH_ORIGINAL_COMMAND" in *"rsync --server"*) ;; *) exec sh -c "$SSH_ORIGINAL_COMMAND" ;; esac`,
      `touch ${gate}.came; while [ -e ${gate}.before ]; do sleep 0.02; done`,
      `sh -c "$SSH_ORIGINAL_COMMAND"; code=$?`,
      `touch ${gate}.done; while [ -e ${gate}.after ]; do sleep 0.02; done; exit $code`,
    ];
    return `/bin/sh -c '${script.join("; ")}' sh`;
  }

  async function healed(path: string, text: string): Promise<void> {
    await until(() => textOn(host, path) === text, 15_000, `${path} to be healed`);
  }

  async function calm(): Promise<void> {
    await world.settled();
    expect(await controller.metric(DRIFTED)).toBe(0);
  }

  test("within seconds; the version of the host is kept with its mode, and the log says where", async () => {
    putOn(host, "etc/a.conf", "by hand\n");
    chmodSync(join(host.dir, "etc/a.conf"), 0o600);
    await healed("etc/a.conf", "a\n");
    expect(fileOn(host, "etc/a.conf")).toMatchObject({ mode: 0o644 });
    expect(keptOn(host, "etc/a.conf")).toMatchObject([{ text: "by hand\n", mode: 0o600 }]);
    const [kept] = keptOn(host, "etc/a.conf");
    await until(() => messages(controller, "files healed").length > 0, 5000, "it to be told");
    expect(messages(controller, "files healed")).toMatchObject([
      { event: DETECTED, files: [`/etc/a.conf (content, kept as ${kept!.file})`] },
    ]);
    await calm();
    expect((await world.at(host))?.replaced).toMatchObject([{ path: "/etc/a.conf", kept: kept!.file }]);
  });

  test("these files alone: no other file of the app is touched, and no other host", async () => {
    const before = world.fleet.hosts.map(touchesOn);
    rmSync(join(host.dir, "etc/deep/c.conf"));
    chmodSync(join(host.dir, "etc/b.conf"), 0o666);
    await healed("etc/deep/c.conf", "c\n");
    await until(() => fileOn(host, "etc/b.conf")?.mode === 0o644, 15_000, "the mode to be healed");
    await calm();
    const touched = world.fleet.hosts.map((each, index) => touchedBetween(before[index]!, touchesOn(each)));
    expect(touched[0]!.filter((path) => path.endsWith(".conf"))).toEqual(["etc/b.conf", "etc/deep/c.conf"]);
    expect(touched[1]).toEqual([]);
    expect([keptOn(host, "etc/b.conf"), keptOn(host, "etc/deep/c.conf")]).toEqual([[], []]);
  });

  test("again and again; that is said loudly, and the last five versions are kept", async () => {
    for (let edit = 1; edit <= 7; edit += 1) {
      putOn(host, "etc/d.conf", `edit ${edit}\n`);
      await healed("etc/d.conf", "d\n");
      await until(() => messages(controller, "files healed").length >= edit + 2, 5000, "the heal to be told");
    }
    expect(keptOn(host, "etc/d.conf").map(({ text }) => text)).toEqual([3, 4, 5, 6, 7].map((edit) => `edit ${edit}\n`));
    const loud = messages(controller, "files drift again and again");
    expect(loud.length).toBeGreaterThanOrEqual(1);
    expect(loud[0]).toMatchObject({ event: DETECTED, level: "error", files: ["/etc/d.conf"] });
    await calm();
    expect(await controller.metric(RECURRING)).toBe(1);
  });

  test("or overwritten by a commit, which keeps them as well", async () => {
    putOn(host, "etc/b.conf", "by hand\n");
    await world.repo.commit({ [`${WEB}/etc/b.conf`]: "b2\n" });
    await healed("etc/b.conf", "b2\n");
    await calm();
    expect(keptOn(host, "etc/b.conf").map(({ text }) => text)).toEqual(["by hand\n"]);
  });

  for (const moment of ["before", "after"] as const) {
    test(`although the process is killed in the middle, ${moment} the files were laid`, async () => {
      const gate = join(world.dir, "gate");
      for (const mark of ["came", "done"]) rmSync(`${gate}.${mark}`, { force: true });
      writeFileSync(`${gate}.${moment}`, "");
      const text = `killed ${moment}\n`;
      putOn(host, "etc/deep/c.conf", text);
      const mark = moment === "before" ? "came" : "done";
      await until(() => existsSync(`${gate}.${mark}`), 15_000, `a heal to have ${mark}`);
      await controller.kill();
      rmSync(`${gate}.${moment}`);
      controller = await world.start();
      await healed("etc/deep/c.conf", "c\n");
      await calm();
      expect(keptOn(host, "etc/deep/c.conf").at(-1)).toMatchObject({ text });
    });
  }
});

describe.skipIf(namespaceUnavailable() !== undefined)("a fleet of a hundred hosts", () => {
  test("is looked at over the interval, and not all at once", { timeout: 120_000 }, async () => {
    await using world = await World.create({
      hosts: 100,
      kind: "namespace",
      files: { [`${WEB}/etc/a.conf`]: "a\n" },
      spec: { drift: { interval: "20s" } },
    });
    const controller = await world.start();
    await world.settled(100, 60_000);
    const [begun, before] = [performance.now(), await looks(controller)];
    await until(async () => (await looks(controller)) >= before + 90, 60_000, "most of the hosts to be looked at");
    // All at once they would take a second or two.
    expect(performance.now() - begun).toBeGreaterThan(12_000);
    expect(await controller.metric(`fssync_verify_total{repo="files",result="clean"}`)).toBeGreaterThanOrEqual(90);
  });
});
