import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until, type FleetHost } from "../../support/fleet.ts";
import { World, type Controller } from "../../support/world.ts";
import { answerIn, send } from "../../support/raw-http.ts";
import { wrapGit } from "../../integration/source/open-source.ts";
import { textOn } from "../on-host.ts";
import { post } from "./ask.ts";

const WEB = "env/prod/web";
const CONF = `${WEB}/etc/web.conf`;
const LOGO = Buffer.from([0, 1, 2, 0xff]);
const FILES = {
  ".gitattributes": "env/prod/vault/etc/key secret\n",
  "env/prod/common_files/etc/hosts.allow": "sshd: ALL\n",
  "env/prod/common_files/etc/web.conf": "hidden by the app's own\n",
  "env/prod/web/etc/web.conf": "# settings\ndebug = no\nworkers=4\n",
  "env/prod/web/etc/nginx/nginx.conf": "user www;\n",
  "env/prod/web/etc/link.conf": { symlink: "web.conf" },
  "env/prod/web/opt/logo.bin": LOGO,
  "env/prod/api/etc/api.conf": "port=80\n",
  "env/test/web/etc/test.conf": "workers=1\n",
  "env/prod/vault/etc/key": "password=abc\n",
  "nginx/prod/web/etc/other.conf": "other=1\n",
};

/** The CMDB is asked for each of them. */
const APPS = new Set(Object.keys(FILES).flatMap((path) => /^(?:[^/]+\/){3}/.exec(path) ?? [])).size;

/** The predecessor's answers to the requests below, byte by byte; what differs from run to run is between `<` and `>`. */
function recorded(name: string): string {
  return readFileSync(join(import.meta.dirname, "recorded", name), "utf8");
}

function md5(content: string | Buffer): string {
  return createHash("md5").update(content).digest("hex");
}

let world: World;
let controller: Controller;
let hosts: readonly FleetHost[];

beforeAll(async () => {
  world = await World.create({ hosts: 2, kind: "ports", app: WEB, files: FILES });
  // In the order of answers.
  hosts = world.fleet.hosts.toSorted((a, b) => a.port - b.port);
  await world.assign("env/test/web", hosts.slice(1));
  await world.assign("env/prod/api", hosts.slice(1));
  controller = await world.start("--compat");
  await world.settled();
});
afterAll(() => world[Symbol.asyncDispose]());

/** The hosts of a test lie on one address: here they have the addresses of the records. */
async function syncText(query: string): Promise<{ status: number; text: string }> {
  const answer = await controller.get(`/sync?${query}`);
  let text = await answer.text();
  hosts.forEach(({ port }, index) => (text = text.replaceAll(`127.0.0.1:${port}:`, `10.0.0.1${index + 1}:`)));
  // A host that is alone in an answer needs no port.
  return { status: answer.status, text };
}

async function json(path: string): Promise<{ status: number; body: unknown }> {
  const answer = await controller.get(path);
  expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
  return { status: answer.status, body: await answer.json() };
}

function modify(body: Record<string, unknown>, headers: Record<string, string> = {}) {
  const file = { appName: "web", envName: "prod", path: "/etc", filename: "web.conf" };
  return fetch(`${controller.url}/modify`, { method: "POST", body: JSON.stringify({ ...file, ...body }), headers });
}

async function refused(body: Record<string, unknown>): Promise<{ status: number; msg: string }> {
  const answer = await modify(body);
  const { status, msg } = (await answer.json()) as { status: string; msg: string };
  expect(status).toBe("false");
  return { status: answer.status, msg };
}

/** A commit of somebody else's onto the branch; false when others were faster. */
async function pushAsAPerson(): Promise<boolean> {
  const head = (await world.repo.commitOf("main"))!;
  const who = ["-c", "user.name=person", "-c", "user.email=person@example.com"];
  const made = await world.repo.git([...who, "commit-tree", `${head}^{tree}`, "-p", head, "-m", "theirs"]);
  const moved = world.repo.git(["update-ref", "refs/heads/main", made.toString("utf8").trim(), head]);
  return await moved.then(
    () => true,
    () => false,
  );
}

async function inGit(path: string): Promise<string> {
  return (await world.repo.git(["cat-file", "blob", `main:${path}`])).toString("utf8");
}

describe("GET /sync", () => {
  test("answers as the predecessor did: every host of the app in every environment", async () => {
    expect(await syncText("mod=env&env=all&app=web")).toEqual({ status: 200, text: recorded("sync.txt") });
    expect(await syncText("app=web")).toEqual({ status: 200, text: recorded("sync.txt") });
    expect(await syncText("mod=&env=&app=web")).toEqual({ status: 200, text: recorded("sync.txt") });
  });

  test("syncs whatever the store says: a file that was removed by hand is there again", async () => {
    for (const host of hosts) rmSync(join(host.dir, "etc/web.conf"));
    expect((await syncText("app=web&env=prod")).text).toBe(recorded("sync.txt"));
    for (const host of hosts) expect(textOn(host, "etc/web.conf")).toContain("workers=4");
  });

  test("brings a commit that nobody has read yet", async () => {
    await world.repo.commit({ "env/prod/web/etc/new.conf": "new\n" });
    expect((await syncText("app=web&env=prod")).text).toBe(recorded("sync.txt"));
    for (const host of hosts) expect(textOn(host, "etc/new.conf")).toBe("new\n");
    await world.repo.commit({ "env/prod/web/etc/new.conf": null });
    expect((await syncText("app=web&env=prod")).text).toBe(recorded("sync.txt"));
    for (const host of hosts) expect(textOn(host, "etc/new.conf")).toBeUndefined();
  });

  test("takes zone for env, and syncs that environment alone", async () => {
    const { status, body } = await json("/sync?mod=env&zone=test&app=web");
    expect({ status, body }).toEqual({ status: 200, body: ["127.0.0.1:success"] });
    expect(textOn(hosts[1]!, "etc/test.conf")).toBe("workers=1\n");
  });

  test("says what is wrong with a host that is down, and success of the others", async () => {
    await hosts[1]!.down();
    const { status, text } = await syncText("app=web&env=prod");
    await hosts[1]!.up();
    expect(status).toBe(200);
    const [error] = /(?<=10\.0\.0\.12:).*(?=")/.exec(text)!;
    expect(error).toMatch(/^[A-Z][A-Za-z]+: .+/);
    expect(text.replace(error, "<error>")).toBe(recorded("sync-host-down.txt"));
    await world.settled();
  });

  test("says that the CMDB failed, and touches no host", async () => {
    rmSync(join(hosts[0]!.dir, "etc/web.conf"));
    world.cmdb.behave({ status: 503 }, WEB);
    const { status, text } = await syncText("app=web&env=prod");
    expect(status).toBe(500);
    const { msg } = JSON.parse(text) as { msg: string };
    expect(JSON.stringify({ msg: msg.replace(/:.*$/, ":<error>") })).toBe(recorded("sync-cmdb-failed.txt"));
    expect(msg).toContain("503");
    expect(textOn(hosts[0]!, "etc/web.conf")).toBeUndefined();
    // What the CMDB does not know of one app keeps no other from being synced.
    expect((await json("/sync?app=api")).status).toBe(200);
    world.cmdb.behave("ok", WEB);
    expect((await syncText("app=web&env=prod")).text).toBe(recorded("sync.txt"));
    expect(textOn(hosts[0]!, "etc/web.conf")).toBeDefined();
  });

  test("says what is missing, and what nobody knows", async () => {
    expect(await json("/sync?mod=env")).toEqual({ status: 400, body: { msg: "Query value Missing" } });
    const unknown = await json("/sync?app=nothing");
    expect(unknown).toEqual({ status: 404, body: { msg: expect.stringContaining("nothing") } });
    expect((await json("/sync?app=web&repo=nothing")).status).toBe(404);
    expect((await json("/sync?app=web&app=api")).status).toBe(400);
  });

  test("names the hosts that people keep it from", async () => {
    const host = `127.0.0.1:${hosts[0]!.port}`;
    expect((await post(controller, "/api/v1/suspend", { repo: "files", host })).status).toBe(200);
    const { text } = await syncText("app=web&env=prod");
    expect((await post(controller, "/api/v1/resume", { repo: "files", host })).status).toBe(200);
    const lines = ["10.0.0.11:Suspended: people have stopped work on it", "10.0.0.12:success"];
    expect(JSON.parse(text)).toEqual(lines);
  });

  test("goes on when whoever asked has left", async () => {
    rmSync(join(hosts[0]!.dir, "etc/web.conf"));
    world.cmdb.delay = 300;
    const leaving = new AbortController();
    const asked = world.cmdb.requests.length;
    const gone = fetch(`${controller.url}/sync?app=web&env=prod`, { signal: leaving.signal }).catch(() => "gone");
    await until(() => world.cmdb.requests.length > asked, 10_000, "the CMDB to be asked");
    leaving.abort();
    expect(await gone).toBe("gone");
    world.cmdb.delay = 0;
    await until(() => textOn(hosts[0]!, "etc/web.conf") !== undefined, 20_000, "the file to be there again");
  });

  test("shares the work when many ask for the same", async () => {
    const synced = () => controller.logged("SyncSucceeded").length;
    const before = synced();
    const asked = world.cmdb.requests.length;
    const many = Array.from({ length: 40 }, () => syncText("app=web&env=prod"));
    for (const { text } of await Promise.all(many)) expect(text).toBe(recorded("sync.txt"));
    // All that come while one looks, or while a host is at work, are one: a few rounds instead of 40.
    const rounds = { syncs: (synced() - before) / hosts.length, questions: world.cmdb.requests.length - asked };
    expect(rounds.syncs).toBeLessThan(10);
    expect(rounds.questions).toBeLessThan(10 * APPS);
  });

  test("leaves a line of the log that says who asked for what", async () => {
    await syncText("app=web&env=prod");
    expect(controller.logged("ApiCall").at(-1)).toMatchObject({
      who: "local",
      what: "sync",
      app: "web",
      env: "prod",
      repo: "files",
      from: "127.0.0.1",
      revision: expect.stringMatching(/^main@sha1:/),
    });
  });
});

describe("GET /getfile", () => {
  test("answers as the predecessor did", async () => {
    const answer = await controller.get("/getfile?app=web&zone=prod");
    expect(await answer.text()).toBe(recorded("getfile.txt"));
    for (const query of ["", "app=web", "zone=prod", "app=&zone="]) {
      const missing = await controller.get(`/getfile?${query}`);
      expect({ status: missing.status, text: await missing.text() }).toEqual({
        status: 200,
        text: recorded("getfile-missing.txt"),
      });
    }
  });

  test("takes another mod, and says what is unknown", async () => {
    expect((await json("/getfile?app=web&zone=prod&mod=nginx")).body).toEqual({
      status: "true",
      msg: ["etc/other.conf"],
    });
    expect(await json("/getfile?app=common_files&zone=prod")).toMatchObject({
      body: { msg: ["etc/hosts.allow", "etc/web.conf"] },
    });
    for (const query of [
      "app=none&zone=prod",
      "app=web&zone=..",
      "app=../web&zone=prod",
      "app=web&zone=prod&repo=none",
    ]) {
      expect(await json(`/getfile?${query}`)).toMatchObject({ status: 404, body: { status: "false" } });
    }
  });
});

describe("GET /api/get_filelist/", () => {
  test("answers as the predecessor did: common_files under the app's own, each with its MD5", async () => {
    const list = JSON.parse(recorded("get_filelist.json")) as Record<string, string>;
    const contents: Record<string, string | Buffer> = {
      "/etc/hosts.allow": FILES["env/prod/common_files/etc/hosts.allow"],
      "/etc/nginx/nginx.conf": FILES["env/prod/web/etc/nginx/nginx.conf"],
      "/etc/web.conf": FILES["env/prod/web/etc/web.conf"],
      "/opt/logo.bin": LOGO,
    };
    const expected = Object.entries(list).map(([path, value]) => [path, value.replace("<md5>", md5(contents[path]!))]);
    for (const path of ["/api/get_filelist/", "/api/get_filelist"]) {
      expect(await json(`${path}?app=web&env=prod`)).toEqual({ status: 200, body: Object.fromEntries(expected) });
    }
    const { body } = await json("/api/get_filelist/?app=web&zone=test");
    expect(body).toEqual({ "/etc/test.conf": `${md5("workers=1\n")}_#_test/web/etc/test.conf` });
  });

  test("lists what the links lead to: each file is served under what its entry names", async () => {
    const { body } = await json("/api/get_filelist/?app=web&env=prod");
    for (const value of Object.values(body as Record<string, string>)) {
      const [sum, path] = value.split("_#_");
      const answer = await controller.get(`/${path}`);
      expect(md5(Buffer.from(await answer.arrayBuffer()))).toBe(sum);
    }
  });

  test("says what is missing, and what nobody knows", async () => {
    expect(await json("/api/get_filelist/?app=web")).toEqual({ status: 400, body: { msg: "Query value Missing" } });
    expect((await json("/api/get_filelist/?app=none&env=prod")).status).toBe(404);
  });
});

describe("files under /<env>/<app>/", () => {
  test("are served as they are, text as text", async () => {
    const text = await controller.get("/prod/web/etc/web.conf");
    expect(text.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(text.headers.get("x-content-type-options")).toBe("nosniff");
    expect(await text.text()).toBe(FILES["env/prod/web/etc/web.conf"]);
    const binary = await controller.get("/prod/web/opt/logo.bin");
    expect(binary.headers.get("content-type")).toBe("application/octet-stream");
    expect(Buffer.from(await binary.arrayBuffer())).toEqual(LOGO);
    expect(await (await controller.get("/prod/common_files/etc/web.conf")).text()).toContain("hidden");
  });

  test("are not sent to whoever has them", async () => {
    const first = await controller.get("/prod/web/etc/web.conf");
    const etag = first.headers.get("etag")!;
    const again = await fetch(`${controller.url}/prod/web/etc/web.conf`, { headers: { "if-none-match": etag } });
    expect(again.status).toBe(304);
    const head = await fetch(`${controller.url}/prod/web/etc/web.conf`, { method: "HEAD" });
    expect([head.status, head.headers.get("etag"), head.headers.get("content-length")]).toEqual([
      200,
      etag,
      String(FILES["env/prod/web/etc/web.conf"].length),
    ]);
    expect(await head.text()).toBe("");
  });

  test("shadow nothing, and reach nothing else, however the path is written", async () => {
    expect((await controller.get("/api/v1/repos")).status).toBe(200);
    const found = "prod/web/etc/web.conf";
    const paths = [
      "/api/v1/nothing",
      "/files/prod/x",
      "/prod/web/",
      "/prod/web/etc",
      "/prod/web/etc/",
      "/prod/web/etc/link.conf",
      "/prod/web//etc/web.conf",
      "/prod/none/etc/web.conf",
      "/nginx/prod/web/etc/other.conf",
      "/prod/web/../web/etc/web.conf",
      "/prod/web/..%2fapi%2fetc%2fapi.conf",
      "/prod/web/%2e%2e/api/etc/api.conf",
      "/prod%2fweb/etc/web.conf/x",
      "/prod/..%2fprod%2fweb/etc/web.conf",
      "/%2e%2e/prod/web/etc/web.conf",
      "/prod/web/..%252fapi/etc/api.conf",
      "/prod/web/etc/web.conf%00",
      "/prod/web/..\\api\\etc\\api.conf",
      "/prod/web/%c0%ae%c0%ae/api/etc/api.conf",
      "/prod/web/../../../../etc/passwd",
      "/prod/web/%2fetc%2fpasswd",
      "//prod/web/etc/web.conf",
    ];
    const port = Number(new URL(controller.url).port);
    for (const path of paths) {
      const answer = answerIn(await send(port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`));
      expect([400, 404], `${path}: ${answer.status}`).toContain(answer.status);
    }
    expect((await controller.get(`/${found}`)).status).toBe(200);
  });
});

describe("POST /modify", () => {
  test("answers as the predecessor did; edits, adds and deletes lines, commits, pushes, and the hosts get it", async () => {
    const edit = await modify({ operate: "edit", datas: { debug: "yes" } });
    expect({ status: edit.status, text: await edit.text() }).toEqual({ status: 200, text: recorded("modify.txt") });
    expect(await inGit(CONF)).toBe("# settings\ndebug = yes\nworkers=4\n");
    expect(await (await modify({ operate: "add", datas: { user: "www", "log level": "info" } })).text()).toBe(
      recorded("modify.txt"),
    );
    expect(await (await modify({ operate: "del", datas: { debug: "", workers: "" } })).text()).toBe(
      recorded("modify.txt"),
    );
    expect(await inGit(CONF)).toBe("# settings\nuser=www\nlog level=info\n");
    await until(() => textOn(hosts[0]!, "etc/web.conf") === "# settings\nuser=www\nlog level=info\n", 20_000, "hosts");
  });

  test("says in the commit who and what, and never a value", async () => {
    await modify({ operate: "add", datas: { password: "hunter2", size: "1" } });
    const message = (await world.repo.git(["log", "-1", "--format=%an <%ae>%n%B", "main"])).toString("utf8");
    expect(message).toContain("fssync <fssync@localhost>\n");
    expect(message).toContain(`${CONF}: add password, size\n\nAsked of fssync by local: POST /modify`);
    expect(message).not.toContain("hunter2");
    const call = controller.logged("ApiCall").at(-1);
    expect(call).toMatchObject({ what: "modify", who: "local", repo: "files", file: CONF, keys: ["password", "size"] });
    expect(controller.running.stderr).not.toContain("hunter2");
  });

  test("makes no commit of what changes nothing", async () => {
    const before = await world.repo.commitOf("main");
    for (const body of [
      { operate: "edit", datas: { user: "www" } },
      { operate: "del", datas: { nothing: "" } },
      { operate: "add", datas: {} },
    ]) {
      expect(await (await modify(body)).text()).toBe(recorded("modify.txt"));
    }
    expect(await world.repo.commitOf("main")).toBe(before);
  });

  test("takes what curl sends as a form, and passes over what it does not know", async () => {
    for (const type of ["application/x-www-form-urlencoded", "text/plain", "application/json"]) {
      const answer = await modify({ operate: "edit", datas: { user: "www" }, more: 1 }, { "content-type": type });
      expect(answer.status, type).toBe(200);
    }
  });

  test("lets all of many requests at a time land, in several files, while others push too", async () => {
    const before = (await world.repo.git(["rev-list", "--count", "main"])).toString("utf8").trim();
    const ours = Array.from({ length: 10 }, (_, index) => modify({ operate: "add", datas: { [`many${index}`]: "1" } }));
    const theirs = (async () => {
      for (let pushed = 0; pushed < 4;) pushed += (await pushAsAPerson()) ? 1 : 0;
    })();
    const answers = await Promise.all(ours);
    await theirs;
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const content = await inGit(CONF);
    for (let index = 0; index < 10; index += 1) expect(content).toContain(`many${index}=1\n`);
    const after = (await world.repo.git(["rev-list", "--count", "main"])).toString("utf8").trim();
    expect(Number(after) - Number(before)).toBe(10 + 4);
  });

  test("refuses keys that are there or not there, files that are not, by name", async () => {
    const before = await world.repo.commitOf("main");
    expect(await refused({ operate: "edit", datas: { user: "x", none: "x" } })).toEqual({
      status: 404,
      msg: `${CONF}: the file has no key none`,
    });
    expect(await refused({ operate: "add", datas: { user: "x" } })).toEqual({
      status: 409,
      msg: `${CONF}: the file has already key user`,
    });
    const add = { operate: "add", datas: { a: "1" } };
    expect(await refused({ ...add, filename: "none.conf" })).toMatchObject({
      status: 404,
      msg: expect.stringContaining("env/prod/web/etc/none.conf"),
    });
    expect(await refused({ ...add, filename: "link.conf" })).toMatchObject({ status: 409 });
    expect(await refused({ ...add, path: "/opt", filename: "logo.bin" })).toMatchObject({ status: 409 });
    expect(await refused({ ...add, appName: "none" })).toMatchObject({ status: 404 });
    expect(await world.repo.commitOf("main")).toBe(before);
  });

  test("refuses names and lines that could mean something else, by name", async () => {
    const before = await world.repo.commitOf("main");
    const add = { operate: "add", datas: { a: "1" } };
    const wrong: [Record<string, unknown>, string][] = [
      [{ ...add, path: "../api/etc" }, "path"],
      [{ ...add, path: "/etc/../../api" }, "path"],
      [{ ...add, path: "etc//x" }, "path"],
      [{ ...add, path: ".git" }, "path"],
      [{ ...add, filename: "../web.conf" }, "filename"],
      [{ ...add, filename: "" }, "filename"],
      [{ ...add, filename: ".." }, "filename"],
      [{ ...add, filename: "a\nb" }, "filename"],
      [{ ...add, path: "", filename: ".gitattributes" }, "filename"],
      [{ ...add, appName: ".." }, "appName"],
      [{ ...add, appName: "web/etc" }, "appName"],
      [{ ...add, envName: "../prod" }, "envName"],
      [{ ...add, envName: "." }, "envName"],
      [{ ...add, mod: ".." }, "mod"],
      [{ ...add, datas: { "a=b": "1" } }, "datas"],
      [{ ...add, datas: { "a\nb": "1" } }, "datas"],
      [{ ...add, datas: { a: "1\nb=2" } }, "datas"],
      [{ ...add, datas: { a: "1\u0000" } }, "datas"],
      [{ ...add, datas: { a: [1] } }, "datas"],
      [{ ...add, datas: "a=1" }, "datas"],
      [{ ...add, operate: "drop" }, "operate"],
      [{ ...add, appName: undefined }, "appName"],
    ];
    for (const [body, field] of wrong) {
      const { status, msg } = await refused(body);
      expect(status, JSON.stringify(body)).toBe(400);
      expect(msg).toContain(field);
    }
    for (const body of ["", "{", "[]", "null", '{"__proto__": {}}']) {
      const answer = await fetch(`${controller.url}/modify`, { method: "POST", body });
      expect(answer.status, body).toBe(400);
      expect(await answer.json()).toMatchObject({ status: "false" });
    }
    expect(await world.repo.commitOf("main")).toBe(before);
  });

  test("says in the remote's words that the branch is protected", async () => {
    const hook = join(world.repo.path, "hooks", "pre-receive");
    await mkdir(join(world.repo.path, "hooks"), { recursive: true });
    await writeFile(hook, "#!/bin/sh\necho 'GitLab: the branch is protected' >&2\nexit 1\n");
    await chmod(hook, 0o755);
    const answer = await refused({ operate: "edit", datas: { user: "nobody" } });
    await rm(hook);
    expect(answer).toMatchObject({ status: 502, msg: expect.stringContaining("GitLab: the branch is protected") });
  });
});

test("killed between commit and push, nothing was done, nothing is left, and the next one works", async () => {
  await using small = await World.create({ hosts: 1, kind: "ports", app: WEB, files: FILES });
  const before = await small.repo.commitOf("main");
  let killed: Controller;
  {
    await using git = await wrapGit(`case " $* " in *" push "*) echo $$ >>"$LOG"; exec sleep 60 ;; esac`);
    killed = await small.start("--compat");
    const body = {
      appName: "web",
      envName: "prod",
      path: "/etc",
      filename: "web.conf",
      operate: "add",
      datas: { a: "1" },
    };
    const asked = fetch(`${killed.url}/modify`, { method: "POST", body: JSON.stringify(body) }).catch(() => "gone");
    await until(async () => (await git.calls()) !== "", 20_000, "the push to begin");
    await killed.kill();
    expect(await asked).toBe("gone");
    // It leads a group of its own, and would push if it could.
    for (const pid of (await git.calls()).trim().split("\n")) process.kill(Number(pid), "SIGKILL");
    expect(await small.repo.commitOf("main")).toBe(before);
  }
  const again = await small.start("--compat");
  const body = {
    appName: "web",
    envName: "prod",
    path: "/etc",
    filename: "web.conf",
    operate: "add",
    datas: { a: "1" },
  };
  const answer = await fetch(`${again.url}/modify`, { method: "POST", body: JSON.stringify(body) });
  expect(await answer.text()).toBe(recorded("modify.txt"));
  expect((await small.repo.git(["rev-list", "--count", "main"])).toString("utf8").trim()).toBe("2");
  const left = await readdir(join(small.dataDir, "repos", "files"));
  expect(left.filter((name) => name.startsWith("edit-"))).toEqual([]);
}, 60_000);

describe("who may", { timeout: 60_000 }, () => {
  const TOKENS = {
    read: "reader-0123456789abcdef",
    pull: "puller-0123456789abcdef",
    operate: "operator-0123456789abcdef",
  };
  const paths = [
    "/sync?app=web",
    "/getfile?app=web&zone=prod",
    "/api/get_filelist/?app=web&env=prod",
    "/prod/web/etc/web.conf",
  ];
  let guarded: World;

  beforeAll(async () => {
    guarded = await World.create({ hosts: 1, kind: "ports", app: WEB, files: FILES });
    await guarded.putSecret("api", TOKENS);
  });
  afterAll(() => guarded[Symbol.asyncDispose]());

  async function statuses({ url }: Controller, token?: string): Promise<number[]> {
    const headers = token === undefined ? undefined : { authorization: `Bearer ${token}` };
    const body = JSON.stringify({
      appName: "web",
      envName: "prod",
      path: "etc",
      filename: "web.conf",
      operate: "add",
      datas: {},
    });
    const answers = await Promise.all([
      ...paths.map((path) => fetch(`${url}${path}`, { ...(headers && { headers }) })),
      fetch(`${url}/modify`, { method: "POST", body, ...(headers && { headers }) }),
    ]);
    return answers.map(({ status }) => status);
  }

  test("without --compat there is none of it", async () => {
    const plain = await guarded.start("--tokens-secret", "api");
    expect(await statuses(plain, TOKENS.operate)).toEqual([404, 404, 404, 404, 404]);
    await plain.kill();
  });

  test("with tokens: reading is for all of them, syncing and editing for operators; secrets need the role pull", async () => {
    const asking = await guarded.start("--compat", "--tokens-secret", "api");
    await guarded.settled();
    expect(await statuses(asking)).toEqual([401, 401, 401, 401, 401]);
    expect(await statuses(asking, TOKENS.read)).toEqual([403, 200, 200, 200, 403]);
    expect(await statuses(asking, TOKENS.operate)).toEqual([200, 200, 200, 200, 200]);
    const secret = async (token: string) => {
      const headers = { authorization: `Bearer ${token}` };
      const file = await fetch(`${asking.url}/prod/vault/etc/key`, { headers });
      const list = await fetch(`${asking.url}/api/get_filelist/?app=vault&env=prod`, { headers });
      return [file.status, Object.keys((await list.json()) as object).includes("/etc/key")];
    };
    expect(await secret(TOKENS.read)).toEqual([403, false]);
    expect(await secret(TOKENS.pull)).toEqual([200, true]);
    await asking.kill();
  });

  test("what is secret is edited by who may read it, and to nobody else it says which keys it has", async () => {
    const open = await guarded.start("--compat", "--compat-anonymous", "--tokens-secret", "api");
    await guarded.settled();
    const key = { appName: "vault", envName: "prod", path: "etc", filename: "key" };
    const edit = async (operate: string, datas: object, headers: Record<string, string> = {}) => {
      const body = JSON.stringify({ ...key, operate, datas });
      const answer = await fetch(`${open.url}/modify`, { method: "POST", body, headers });
      return [answer.status, ((await answer.json()) as { msg: string }).msg];
    };
    const told = [403, `${WEB.replace("web", "vault")}/etc/key is secret: it is for those who may read it`];
    expect(await edit("edit", { nokey: "x" })).toEqual(told);
    expect(await edit("add", { password: "x" })).toEqual(told);
    expect(await edit("edit", { password: "anybody's" })).toEqual(told);
    const operate = { authorization: `Bearer ${TOKENS.operate}` };
    expect(await edit("edit", { password: "the operator's" }, operate)).toEqual([200, "success"]);
    expect(open.log.filter(({ msg }) => String(msg).includes("damaged"))).toEqual([]);
    const file = await fetch(`${open.url}/prod/vault/etc/key`, { headers: operate });
    expect(file.status).toBe(200);
    await open.kill();
  });

  test("with --compat-anonymous: whoever reaches the address, but for secrets and the API", async () => {
    const open = await guarded.start("--compat", "--compat-anonymous", "--tokens-secret", "api");
    await guarded.settled();
    expect(await statuses(open)).toEqual([200, 200, 200, 200, 200]);
    expect((await open.get("/prod/vault/etc/key")).status).toBe(403);
    const headers = { authorization: `Bearer ${TOKENS.pull}` };
    expect((await fetch(`${open.url}/prod/vault/etc/key`, { headers })).status).toBe(200);
    expect((await open.get("/api/v1/repos")).status).toBe(401);
    expect(open.logged("ApiCall").at(-1)).toMatchObject({ who: "anonymous" });
    await open.kill();
  });
});

test("common_files are those of the overlay where layout.common names it", async () => {
  const spec = { layout: { common: "common_files" } };
  await using overlaid = await World.create({ hosts: 1, kind: "ports", app: WEB, files: FILES, spec });
  const { url } = await overlaid.start("--compat");
  await overlaid.settled();
  const list = (await (await fetch(`${url}/api/get_filelist/?app=web&env=prod`)).json()) as Record<string, string>;
  expect(Object.keys(list)).toEqual(Object.keys(JSON.parse(recorded("get_filelist.json")) as object));
  expect(await (await fetch(`${url}/getfile?app=web&zone=prod`)).text()).toBe(recorded("getfile.txt"));
  expect(await (await fetch(`${url}/prod/common_files/etc/web.conf`)).text()).toContain("hidden");
}, 60_000);

test("what is suspended from the start serves what plan has read, and syncs nothing", async () => {
  await using cut = await World.create({ hosts: 1, kind: "ports", app: WEB, files: FILES });
  expect((await cut.run("plan")).code).toBe(0);
  await cut.configure({ suspend: true });
  const suspended = await cut.start("--compat");
  expect(await (await suspended.get("/getfile?app=web&zone=prod")).text()).toBe(recorded("getfile.txt"));
  const web = { repo: "files", mod: "env", env: "prod", app: "web" };
  expect((await post(suspended, "/api/v1/suspend", web)).status).toBe(200);
  const host = cut.fleet.hosts[0]!;
  const lines = ["127.0.0.1:Suspended: people have stopped work on it"];
  expect(await (await suspended.get("/sync?app=web")).json()).toEqual(lines);
  await suspended.stop();
  await cut.configure({ suspend: false });
  const lifted = await cut.start("--compat");
  expect(await (await lifted.get("/sync?app=web")).json()).toEqual(lines);
  expect(textOn(host, "etc/web.conf")).toBeUndefined();
  expect((await post(lifted, "/api/v1/resume", web)).status).toBe(200);
  await until(() => textOn(host, "etc/web.conf") !== undefined, 20_000, "the file to be there");
}, 90_000);

test("whatever is asked, the answer is one that a script can read, and no mistake of fssync's", async () => {
  const word = fc.oneof(
    fc.constantFrom("web", "prod", "env", "common_files", "files", "..", "", "all", "%00", "a/b"),
    fc.string({ unit: "binary", maxLength: 12 }).map((text) => text.toWellFormed()),
  );
  const query = fc.dictionary(fc.constantFrom("mod", "env", "zone", "app", "repo", "x"), word);
  const path = fc.constantFrom("/getfile", "/api/get_filelist/", "/sync", "/modify", "/prod/web/");
  const body = fc.oneof(
    fc.json(),
    fc
      .record({
        appName: word,
        envName: word,
        path: word,
        filename: word,
        operate: fc.constantFrom("edit", "add", "x"),
        datas: fc.dictionary(word, word, { maxKeys: 3 }),
      })
      .map((one) => JSON.stringify(one)),
  );
  await fc.assert(
    fc.asyncProperty(path, query, word, body, async (where, asked, more, sent) => {
      // Syncs of all that there is would take their time.
      const parameters = new URLSearchParams(where === "/sync" ? { ...asked, env: "none" } : asked);
      const url = `${controller.url}${where}${where === "/prod/web/" ? encodeURIComponent(more) : ""}?${parameters.toString()}`;
      const answer = await fetch(url, where === "/modify" ? { method: "POST", body: sent } : {});
      expect(answer.status, `${url} ${sent}`).toBeLessThan(500);
      const text = await answer.text();
      if (where === "/prod/web/" && answer.ok) return;
      const read = JSON.parse(text) as { msg?: unknown; detail?: unknown };
      if (answer.status >= 400) expect(typeof (read.msg ?? read.detail)).toBe("string");
    }),
    { seed: 20_261_123, numRuns: 100 },
  );
}, 60_000);
