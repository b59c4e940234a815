import { rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { FleetHost } from "../support/fleet.ts";
import { World } from "../support/world.ts";
import { fileOn, pathsOn, putOn, textOn, touchedBetween, touchesOn } from "./on-host.ts";

const NOTHING_LAGS =
  "Nothing lags: every host last synced what Git has; `fssync verify` looks whether it has it still.\n";
const WEB = "nginx/prod/web";
const API = "nginx/prod/api";

describe("the command line", () => {
  let world: World;
  let first: FleetHost;
  let second: FleetHost;

  beforeAll(async () => {
    world = await World.create({
      hosts: 2,
      kind: "ports",
      files: { [`${WEB}/etc/a.conf`]: "a1\n", [`${WEB}/etc/b.conf`]: "b1\n", [`${API}/etc/api.conf`]: "api1\n" },
    });
    [first, second] = world.fleet.hosts as [FleetHost, FleetHost];
    await world.assign(API, [first]);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const name = ({ address, port }: FleetHost) => `${address}:${port}`;

  test("status before anything was synced says so and exits with 0", async () => {
    const { code, stdout } = await world.run("status");
    expect(code).toBe(0);
    expect(stdout).toContain("start `fssync run` or `fssync sync` first");
    expect(JSON.parse((await world.run("status", "-o", "json")).stdout)).toEqual({ repos: [] });
  });

  test("plan on a new fleet names every file and why, and touches no host", async () => {
    const { code, stdout } = await world.run("plan", "-o", "json");
    expect(code).toBe(0);
    const { repos } = JSON.parse(stdout);
    expect(repos).toHaveLength(1);
    expect(repos[0]).toMatchObject({ name: "files", revision: `main@sha1:${await world.repo.commitOf("main")}` });
    const host = repos[0].hosts.find(({ port }: FleetHost) => port === first.port);
    expect(host).toEqual({
      address: "127.0.0.1",
      port: first.port,
      apps: expect.arrayContaining([
        {
          app: WEB,
          base: null,
          desired: expect.stringMatching(/^[0-9a-f]{64}$/),
          send: ["/etc/a.conf", "/etc/b.conf"],
          delete: [],
          why: "new here: nothing was synced yet, sends all 2 of 2 files",
        },
      ]),
    });
    expect(pathsOn(first)).toEqual([]);
    expect((await world.run("plan", "--detailed-exitcode")).code).toBe(2);
  });

  test("sync exits with 0 when all are synced, and prints what it touched", async () => {
    const { code, stdout, stderr } = await world.run("sync", "-o", "json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("synced 2/2 hosts") });
    expect(JSON.parse(stdout).repos[0].hosts).toHaveLength(2);
    const again = await world.run("sync");
    expect(again).toEqual({ code: 0, stdout: NOTHING_LAGS, stderr: "" });
    expect((await world.run("plan", "--detailed-exitcode")).code).toBe(0);
  });

  test("status -o json has the shape of the design", async () => {
    const revision = `main@sha1:${await world.repo.commitOf("main")}`;
    const digest = expect.stringMatching(/^[0-9a-f]{64}$/);
    const counts = { total: 2, synced: 2, pending: 0, failed: 0, unreachable: 0, drifted: 0 };
    const on = (app: string) => ({
      app,
      state: "Synced",
      revision,
      digest,
      syncedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    const { repos } = await world.status();
    expect(repos).toHaveLength(1);
    const { apps, hosts, ...repo } = repos[0]!;
    expect(repo).toEqual({ name: "files", revision });
    expect(apps.toSorted((a, b) => (a.app < b.app ? -1 : 1))).toEqual([
      {
        mod: "nginx",
        env: "prod",
        app: "api",
        revision,
        digest,
        state: "Synced",
        hosts: { ...counts, total: 1, synced: 1 },
      },
      { mod: "nginx", env: "prod", app: "web", revision, digest, state: "Synced", hosts: counts },
    ]);
    const host = hosts.find(({ port }) => port === first.port)!;
    expect({ ...host, apps: host.apps.toSorted((a, b) => (a.app < b.app ? -1 : 1)) }).toEqual({
      address: "127.0.0.1",
      port: first.port,
      state: "Synced",
      apps: [on(API), on(WEB)],
    });
  });

  test("status in YAML says the same as in JSON; the table counts, -o wide names every host", async () => {
    expect(parse((await world.run("status", "-o", "yaml")).stdout)).toEqual(await world.status());
    const table = (await world.run("status")).stdout;
    expect(table).toMatch(/^files {2}main@sha1:[0-9a-f]{8} {2}2 hosts: 2 Synced\n/);
    expect(table).not.toContain(name(first));
    const wide = (await world.run("status", "-o", "wide")).stdout;
    for (const host of [first, second]) expect(wide).toContain(name(host));
    expect(table + wide).not.toContain("\u001b");
  });

  test("status of one app shows that app only", async () => {
    const { repos } = JSON.parse((await world.run("status", API, "-o", "json")).stdout);
    expect(repos[0].apps).toHaveLength(1);
    expect(repos[0].hosts.flatMap(({ apps }: { apps: { app: string }[] }) => apps.map(({ app }) => app))).toEqual([
      API,
    ]);
  });

  for (const command of [["sync"], ["plan"], ["status"]]) {
    test(`${command.join(" ")} of an app that is not there exits with 1 and names it`, async () => {
      const { code, stdout, stderr } = await world.run(...command, "nginx/prod/nothere");
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain("no app nginx/prod/nothere");
    });
  }

  test("a host that is not there is an error that names it, for sync and plan", async () => {
    for (const command of ["sync", "plan"]) {
      const { code, stderr } = await world.run(command, "--host", "10.9.9.9");
      expect(code).toBe(1);
      expect(stderr).toContain("no host 10.9.9.9 in the inventory");
    }
  });

  test("sync --host and sync of an app bring forward only what is named", async () => {
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a2\n", [`${API}/etc/api.conf`]: "api2\n" });
    const before = touchesOn(first);
    expect((await world.run("plan", "--detailed-exitcode")).code).toBe(2);
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
    const planned = JSON.parse((await world.run("plan", "--host", name(second), "-o", "json")).stdout);
    expect(planned.repos[0].hosts.map(({ port }: FleetHost) => port)).toEqual([second.port]);
    expect((await world.run("sync", "--host", name(second))).code).toBe(0);
    expect(textOn(second, "etc/a.conf")).toBe("a2\n");
    expect(textOn(first, "etc/a.conf")).toBe("a1\n");
    expect((await world.run("sync", API)).code).toBe(0);
    expect(textOn(first, "etc/api.conf")).toBe("api2\n");
    expect(textOn(first, "etc/a.conf")).toBe("a1\n");
    expect((await world.run("sync")).code).toBe(0);
    expect(textOn(first, "etc/a.conf")).toBe("a2\n");
  });

  test("sync --full puts a file right that somebody edited, sync alone does not look", async () => {
    putOn(first, "etc/a.conf", "by hand\n");
    expect((await world.run("sync")).code).toBe(0);
    expect(textOn(first, "etc/a.conf")).toBe("by hand\n");
    const before = touchesOn(first);
    expect((await world.run("sync", "--full")).code).toBe(0);
    expect(textOn(first, "etc/a.conf")).toBe("a2\n");
    const touched = touchedBetween(before, touchesOn(first));
    const kept = touched.find((path) => path.startsWith("var/lib/fssync/replaced/etc/a.conf."));
    expect(textOn(first, kept!)).toBe("by hand\n");
    expect(touched.filter((path) => !path.startsWith("var"))).toEqual(["etc", "etc/a.conf"]);
  });

  test("sync exits with 4 when a host is not reached, and names it", async () => {
    await second.down();
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a3\n" });
    const { code, stdout } = await world.run("sync");
    expect(code).toBe(4);
    expect(stdout).toContain(name(second));
    expect(stdout).toContain("ConnectRefused");
    expect(textOn(first, "etc/a.conf")).toBe("a3\n");
  });

  test("sync exits with 2 when a host was reached and failed", async () => {
    await second.up();
    rmSync(join(second.dir, "etc/a.conf"));
    putOn(second, "etc/a.conf/theirs", "theirs\n");
    const { code, stdout } = await world.run("sync");
    expect(code).toBe(2);
    expect(stdout).toContain("TargetIsFolder");
    rmSync(join(second.dir, "etc/a.conf"), { recursive: true });
    expect((await world.run("sync")).code).toBe(0);
  });

  test("sync exits with 1 when Git does not answer", async () => {
    await world.configure({ git: { url: `${world.repo.url}-nothere` } });
    const { code, stderr } = await world.run("sync");
    expect(code).toBe(1);
    expect(stderr).toContain("FetchFailed");
    await world.configure({});
  });

  test("validate accepts a sound configuration and repo", async () => {
    const { code, stdout } = await world.run("validate");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^files: 2 apps, 3 files at main@sha1:[0-9a-f]{40}; 0 mistakes\n$/);
  });

  test("validate tells every mistake of a file at once, with line, path, value and what was expected", async () => {
    const file = join(world.dir, "bad.yaml");
    writeFileSync(
      file,
      [
        "apiVersion: fssync.dev/v1alpha1",
        "kind: ConfigRepo",
        "metadata: { name: Bad_Name }",
        "spec:",
        "  git:",
        "    url: ext::sh -c id",
        "    interval: 10",
        "    passwort: hunter2-secret",
        "  inventory:",
        "    static: []",
        "    file: { path: x }",
        "  sync:",
        "    concurrency: 0",
        "    maxDeletePercent: 120",
        "",
      ].join("\n"),
    );
    const { code, stderr, stdout } = await world.run("validate", "-f", file);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    const expected: [number, string, string][] = [
      [3, "metadata.name", `"Bad_Name"`],
      [6, "spec.git.url", "expected"],
      [7, "spec.git.interval", "10"],
      [8, "spec.git.passwort", "unknown key"],
      [9, "spec.inventory", "expected exactly one of"],
      [13, "spec.sync.concurrency", "0 — expected a whole number from 1 to 10000"],
      [14, "spec.sync.maxDeletePercent", "120 — expected a whole number from 0 to 100"],
    ];
    for (const [line, path, text] of expected) {
      const told = stderr.split("\n").find((each) => each.includes(`${file}:${line}: `) && each.includes(path));
      expect(told, `${path} in ${stderr}`).toContain(text);
    }
    expect(stderr).not.toContain("hunter2");
    for (const command of ["run", "sync", "plan"]) expect((await world.run(command, "-f", file)).code, command).toBe(1);
  });

  test("a file that is not there, or holds no document, is said by name", async () => {
    const missing = await world.run("validate", "-f", join(world.dir, "missing.yaml"));
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain("missing.yaml: cannot be read: there is no such file");
  });

  test("fault 16: URLs that run programs are refused before anything is run", async () => {
    const marker = join(world.dir, "pwned");
    for (const url of [
      `ext::sh -c touch% ${marker}`,
      `--upload-pack=touch ${marker}`,
      `ssh://-oProxyCommand=touch ${marker}/x`,
    ]) {
      await world.configure({ git: { url } });
      const { code, stderr } = await world.run("validate");
      expect(code, url).toBe(1);
      expect(stderr).toContain("spec.git.url");
    }
    await world.configure({});
    expect(pathsOn({ ...first, dir: world.dir })).not.toContain("pwned");
  });

  test("validate tells bad attributes, submodules and strays of the repo, each with its path", async () => {
    const head = await world.repo.commitOf("main");
    await world.repo.commit({
      "nginx/prod/bad/.gitattributes": "*.key owner=$(id)\n*.big mode=99\n",
      "nginx/prod/bad/etc/a.key": "x\n",
      "nginx/prod/sub/etc/sub": { submodule: "1".repeat(40) },
      "nginx/stray.conf": "stray\n",
    });
    const { code, stdout } = await world.run("validate");
    expect(code).toBe(1);
    expect(stdout).toMatch(/InvalidAttributes: nginx\/prod\/bad\/etc\/a\.key/);
    expect(stdout).toContain("$(id)");
    expect(stdout).toMatch(/UnsupportedFile: nginx\/prod\/sub\/etc\/sub/);
    expect(stdout).toMatch(/InvalidPath: nginx\/stray\.conf/);
    expect(stdout).toContain("3 mistakes");
    await world.repo.git(["update-ref", "refs/heads/main", head!]);
  });

  test("every flag can be an environment variable, and a flag wins", async () => {
    const { fleet, configFile, dataDir, dir } = world;
    const env = {
      FSSYNC_FILE: configFile,
      FSSYNC_DATA_DIR: dataDir,
      FSSYNC_SECRETS_DIR: join(dir, "secrets"),
      FSSYNC_ALLOW_FILE_URLS: "true",
      FSSYNC_OUTPUT: "json",
    };
    const byEnv = await world.spawnBare(["sync", "--full"], env).ended;
    expect(byEnv.code).toBe(0);
    expect(JSON.parse(byEnv.stdout).repos[0].hosts).toHaveLength(fleet.hosts.length);
    const yaml = await world.spawnBare(["status", "-o", "yaml"], env).ended;
    expect(parse(yaml.stdout).repos).toHaveLength(1);
    const refused = await world.spawnBare(["validate"], { ...env, FSSYNC_ALLOW_FILE_URLS: "false" }).ended;
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("spec.git.url");
    const wrong = await world.spawnBare(["status"], { ...env, FSSYNC_ALLOW_FILE_URLS: "maybe" }).ended;
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("FSSYNC_ALLOW_FILE_URLS=maybe: expected true or false");
    const level = await world.spawnBare(["status"], { ...env, FSSYNC_LOG_LEVEL: "loud" }).ended;
    expect(level.code).toBe(1);
    expect(level.stderr).toContain("loud");
  });

  test("--listen on a taken port, or on nonsense, says so and exits with 1", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const taken = await world.run("run", "--listen", `127.0.0.1:${port}`);
    server.close();
    expect(taken.code).toBe(1);
    expect(taken.stderr).toContain(`--listen 127.0.0.1:${port}: cannot listen there`);
    const nonsense = await world.run("run", "--listen", "everywhere");
    expect(nonsense.code).toBe(1);
    expect(nonsense.stderr).toContain("expected ADDRESS:PORT");
  });

  test("an unknown command or option exits with 1 and prints nothing on stdout", async () => {
    for (const args of [["nonsense"], ["sync", "--nonsense"], ["status", "-o", "xml"]]) {
      const { code, stdout, stderr } = await world.run(...args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(args.at(-1));
    }
    expect((await world.run("--help")).code).toBe(0);
  });

  test("resync without a running controller is an error that says so", async () => {
    const { code, stderr } = await world.run("resync", WEB);
    expect(code).toBe(1);
    expect(stderr).toContain("NoController");
  });

  test("resync is accepted at once by the running controller, which then syncs in full", async () => {
    const controller = await world.start();
    await world.settled();
    putOn(second, "etc/b.conf", "by hand\n");
    const app = await world.run("resync", WEB);
    expect(app).toMatchObject({ code: 0, stdout: "Accepted: 2 hosts are synced in full.\n" });
    await world.when(() => textOn(second, "etc/b.conf") === "b1\n", "the file to be put right");
    putOn(second, "etc/b.conf", "by hand\n");
    expect(await world.run("resync", name(second))).toMatchObject({
      code: 0,
      stdout: "Accepted: 1 host is synced in full.\n",
    });
    await world.when(() => textOn(second, "etc/b.conf") === "b1\n", "the file to be put right again");
    for (const unknown of ["nginx/prod/nothere", "10.9.9.9"]) {
      const { code, stderr } = await world.run("resync", unknown);
      expect(code, unknown).toBe(1);
      expect(stderr).toContain(unknown);
    }
    await controller.stop();
  });

  test("plan and sync beside a running controller go through it", async () => {
    const controller = await world.start();
    await world.settled();
    expect((await world.run("plan", "--detailed-exitcode")).code).toBe(0);
    putOn(first, "etc/b.conf", "by hand\n");
    expect((await world.run("sync", "--full", "--host", name(first))).code).toBe(0);
    expect(fileOn(first, "etc/b.conf")).toMatchObject({ text: "b1\n" });
    const wrong = await world.run("sync", "nginx/prod/nothere");
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("UnknownName: no app nginx/prod/nothere");
    await controller.stop();
  });

  test("while a repo is suspended nothing is sent, and status says Suspended for what lags", async () => {
    await world.repo.commit({ [`${WEB}/etc/a.conf`]: "a9\n" });
    const before = touchesOn(first);
    await world.configure({ suspend: true });
    const controller = await world.start();
    expect(await controller.metric(`fssync_suspended{repo="files",kind="ConfigRepo",name="files"}`)).toBe(1);
    const said = "ConfigRepo files is suspended (spec.suspend in the configuration file): nothing is synced there.\n";
    expect(await world.run("sync")).toMatchObject({ code: 0, stdout: said });
    expect(await world.run("sync", "--full", WEB)).toMatchObject({ code: 0, stdout: said });
    expect(await world.run("resync", WEB)).toMatchObject({ code: 0, stdout: said });
    for (const command of ["sync", "plan", "status"]) {
      const { stdout } = await world.run(command, "-o", "json");
      expect(JSON.parse(stdout), command).toMatchObject({ repos: [{ name: "files", suspended: true }] });
    }
    expect((await world.run("status")).stdout).toMatch(/^files {2}\S+ {2}suspended {2}\d+ hosts/);
    expect((await world.run("plan")).stdout).toMatch(/^files {2}\S+ {2}suspended: /);
    expect(touchedBetween(before, touchesOn(first))).toEqual([]);
    await controller.stop();
    await world.configure({});
    expect((await world.run("sync")).code).toBe(0);
    expect(textOn(first, "etc/a.conf")).toBe("a9\n");
    expect((await world.run("sync")).stdout).toBe(NOTHING_LAGS);
    expect((await world.run("status", "-o", "json")).stdout).not.toContain("suspended");
  });
});
