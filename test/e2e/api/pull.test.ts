import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { until } from "../../support/fleet.ts";
import { hostShells } from "../../support/host-shells.ts";
import { Running, World, type Controller, type Ran } from "../../support/world.ts";

const PAGE = readFileSync(resolve(import.meta.dirname, "../../../docs/pull-clients.md"), "utf8");
const SCRIPT = /<!-- fssync-pull -->\s+```sh\n([\s\S]*?)^```$/m.exec(PAGE)![1]!;
const TOKEN = "puller-0123456789abcdef";
const WEB = "nginx/prod/web";
/** As in images: busybox has no curl. */
const SHELLS = hostShells().filter(({ name }) => name !== "bash");

let world: World;
let controller: Controller;
let dir: string;
let programs = process.env["PATH"]!;

beforeAll(async () => {
  world = await World.create({
    hosts: 1,
    kind: "ports",
    app: "nginx/prod/other",
    files: {
      ".gitattributes": `${WEB}/etc/web/** owner=daemon group=adm mode=0640\n`,
      "nginx/prod/other/etc/o": "o\n",
      [`${WEB}/etc/a.conf`]: "a\n",
      [`${WEB}/etc/old.conf`]: "old\n",
      [`${WEB}/etc/web/site with blank.conf`]: "site\n",
      [`${WEB}/etc/current`]: { symlink: "a.conf" },
      [`${WEB}/usr/bin/reload`]: { executable: "#!/bin/sh\n" },
    },
  });
  await world.putSecret("api", { pull: `web ${TOKEN}\n` });
  writeFileSync(join(world.dir, "token"), `${TOKEN}\n`);
  writeFileSync(join(world.dir, "fssync-pull"), SCRIPT);
  controller = await world.start("--tokens-secret", "api");
  await world.settled(1);
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "fssync-pulled-"));
  mkdirSync(target());
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const target = (path = "") => join(dir, "target", path);
const textOf = (path: string) => (existsSync(target(path)) ? readFileSync(target(path), "utf8") : undefined);

function start(env: Record<string, string> = {}, args: readonly string[] = []): Running {
  const own = {
    FSSYNC_URL: `${controller.url}/archive/files/${WEB}.tar.gz`,
    FSSYNC_TOKEN_FILE: join(world.dir, "token"),
    FSSYNC_TARGET: target(),
    FSSYNC_STATE: join(dir, "state"),
  };
  const script = join(world.dir, "fssync-pull");
  return new Running(spawn("sh", [script, ...args], { env: { PATH: programs, ...own, ...env }, stdio: "pipe" }));
}

async function pull(env: Record<string, string> = {}, args: readonly string[] = []): Promise<Ran> {
  return await start(env, args).ended;
}

describe.each(SHELLS)("the documented script by $name", ({ path }) => {
  beforeEach(() => {
    programs = `${path}:${process.env["PATH"]}`;
  });

  test("lays files with content, mode and owner, fetches nothing that did not change, and removes what is gone", async () => {
    const old = await world.repo.commit({ [`${WEB}/etc/old.conf`]: "old\n" });
    await world.when(({ revision }) => revision?.endsWith(old) === true, "the commit");
    const changed = ["sh", "-c", `echo changed >>${join(dir, "changes")}`];
    expect(await pull({}, changed)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(textOf("etc/old.conf")).toBe("old\n");
    expect(textOf("etc/web/site with blank.conf")).toBe("site\n");
    expect(readlinkSync(target("etc/current"))).toBe("a.conf");
    expect(statSync(target("usr/bin/reload")).mode & 0o7777).toBe(0o755);
    const site = statSync(target("etc/web/site with blank.conf"));
    expect(site.mode & 0o7777).toBe(0o640);
    if (process.getuid!() === 0) {
      const idOf = (file: string, name: string) =>
        Number(readFileSync(file, "utf8").match(new RegExp(`^${name}:[^:]*:(\\d+)`, "m"))![1]);
      expect([site.uid, site.gid]).toEqual([idOf("/etc/passwd", "daemon"), idOf("/etc/group", "adm")]);
    }

    writeFileSync(target("etc/a.conf"), "by hand\n");
    expect(await pull({}, changed)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(textOf("etc/a.conf")).toBe("by hand\n");

    const commit = await world.repo.commit({ [`${WEB}/etc/a.conf`]: `${path}\n`, [`${WEB}/etc/old.conf`]: null });
    await world.when(({ revision }) => revision?.endsWith(commit) === true, "the commit");
    writeFileSync(target("etc/own.conf"), "not of fssync\n");
    expect(await pull({}, changed)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect([textOf("etc/a.conf"), textOf("etc/old.conf"), textOf("etc/own.conf")]).toEqual([
      `${path}\n`,
      undefined,
      "not of fssync\n",
    ]);
    expect(readFileSync(join(dir, "changes"), "utf8")).toBe("changed\nchanged\n");
  });

  test("fails without a right token, and leaves what there is", async () => {
    await pull();
    writeFileSync(join(dir, "wrong"), "wrong-0123456789abcdef\n");
    const before = textOf("etc/a.conf");
    const { code, stderr } = await pull({ FSSYNC_TOKEN_FILE: join(dir, "wrong") });
    expect(code).not.toBe(0);
    expect(stderr).toContain("401");
    expect(textOf("etc/a.conf")).toBe(before);
    expect((await pull({ FSSYNC_URL: `${controller.url}/archive/files/nginx/prod/none.tar.gz` })).code).not.toBe(0);
  });

  test("does again what failed after the download", async () => {
    expect((await pull({}, ["false"])).code).not.toBe(0);
    expect(await pull({}, ["touch", join(dir, "told")])).toMatchObject({ code: 0 });
    expect(existsSync(join(dir, "told"))).toBe(true);
  });

  test("goes on with an interval, past what fails, until it is told to stop", async () => {
    const token = join(dir, "token");
    const running = start({ FSSYNC_INTERVAL: "1", FSSYNC_TOKEN_FILE: token });
    try {
      await until(() => running.stderr.includes("not done; again in 1 s"), 20_000, "a pull without a token to fail");
      writeFileSync(token, TOKEN);
      await until(() => textOf("etc/a.conf") !== undefined, 20_000, "the first pull");
      const commit = await world.repo.commit({ [`${WEB}/etc/a.conf`]: `loop ${path}\n` });
      await until(() => textOf("etc/a.conf") === `loop ${path}\n`, 20_000, `${commit} to be pulled`);
    } finally {
      running.child.kill("SIGTERM");
    }
    expect((await running.ended).code).toBe(0);
  });
});

test("the documented pod runs the script with variables that it knows", () => {
  const [, text] = /^```yaml\n([\s\S]*?)^```$/m.exec(PAGE)!;
  const { spec } = parse(text!) as {
    spec: { initContainers: { command: string[]; env: { name: string; value: string }[]; volumeMounts: object[] }[] };
  };
  expect(spec.initContainers).toHaveLength(2);
  for (const { command, env, volumeMounts } of spec.initContainers) {
    expect(command).toEqual(["sh", "/opt/fssync/fssync-pull"]);
    for (const { name } of env) expect(SCRIPT).toContain(`# ${name} `);
    expect(volumeMounts).toHaveLength(3);
  }
});

test("the documented commands by hand print what there is", async () => {
  const [, commands] = /^## By hand\s+```sh\n([\s\S]*?)^```$/m.exec(PAGE)!;
  const text = commands!.replaceAll("serverfiles", "files").replaceAll("etc/nginx/nginx.conf", "etc/a.conf");
  const env = { PATH: process.env["PATH"], FSSYNC_SERVER: controller.url, FSSYNC_TOKEN: TOKEN };
  const { code, stdout, stderr } = await new Running(spawn("sh", ["-ec", text], { env, stdio: "pipe" })).ended;
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("daemon/adm");
  expect(stdout.endsWith(await (await fetchFile()).text())).toBe(true);
});

function fetchFile(): Promise<Response> {
  const headers = { authorization: `Bearer ${TOKEN}` };
  return fetch(`${controller.url}/files/files/${WEB}/etc/a.conf`, { headers });
}
