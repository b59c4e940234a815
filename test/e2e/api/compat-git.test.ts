import { readFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { World, type Controller } from "../../support/world.ts";
import { textOn } from "../on-host.ts";
import { get, post } from "./ask.ts";

const WEB = "env/prod/web";
const CONF = `${WEB}/etc/web.conf`;
const FILES = {
  ".gitattributes": "*.key secret\n",
  [CONF]: "port=80\n",
  [`${WEB}/etc/tls.key`]: "abc\n",
  "nginx/prod/web/etc/other.conf": "other=1\n",
};

/** Git is asked when somebody asks for it, and else never. */
const SELDOM = { git: { interval: "1h" } };

let world: World;
let controller: Controller;

beforeAll(async () => {
  world = await World.create({ hosts: 1, kind: "ports", app: WEB, files: FILES, spec: SELDOM });
  controller = await world.start("--compat");
  await world.settled();
});
afterAll(() => world[Symbol.asyncDispose]());

async function json(path: string): Promise<{ status: number; body: unknown }> {
  const { status, body } = await get(controller, path);
  return { status, body };
}

async function modify(operate: string, datas: unknown, more: object = {}) {
  const file = { appName: "web", envName: "prod", path: "/etc", filename: "web.conf" };
  const { status, body } = await post<{ msg: string }>(controller, "/modify", { ...file, operate, datas, ...more });
  return { status, msg: body.msg };
}

/** The same with a body that is no JSON of JavaScript's. */
async function modifyText(datas: string): Promise<number> {
  const body = `{"appName":"web","envName":"prod","path":"etc","filename":"web.conf","operate":"add","datas":${datas}}`;
  return (await fetch(`${controller.url}/modify`, { method: "POST", body })).status;
}

async function served(): Promise<string> {
  return await (await controller.get("/prod/web/etc/web.conf")).text();
}

async function sum(): Promise<string> {
  const { body } = await json("/api/get_filelist/?app=web&env=prod");
  return (body as Record<string, string>)["/etc/web.conf"]!;
}

function lastCall() {
  return controller.logged("ApiCall").at(-1)!;
}

describe("POST /modify", () => {
  test("what comes after its answer reads what it has written", async () => {
    for (const port of ["81", "82", "83"]) {
      const before = await sum();
      expect(await modify("edit", { port })).toEqual({ status: 200, msg: "success" });
      expect(await served()).toBe(`port=${port}\n`);
      expect(await sum()).not.toBe(before);
    }
    const host = world.fleet.hosts[0]!;
    await until(() => textOn(host, "etc/web.conf") === "port=83\n", 20_000, "the host to have it");
  });

  test("so also while the repo is suspended; no host gets it then", async () => {
    const host = world.fleet.hosts[0]!;
    expect((await post(controller, "/api/v1/suspend", { repo: "files" })).status).toBe(200);
    const before = await sum();
    expect(await modify("edit", { port: "90" })).toEqual({ status: 200, msg: "success" });
    expect(await served()).toBe("port=90\n");
    expect(await sum()).not.toBe(before);
    expect((await json("/sync?app=web&env=prod")).body).toEqual([expect.stringContaining(":Suspended: ")]);
    expect(textOn(host, "etc/web.conf")).toBe("port=83\n");
    expect((await post(controller, "/api/v1/resume", { repo: "files" })).status).toBe(200);
    await until(() => textOn(host, "etc/web.conf") === "port=90\n", 20_000, "the host to have it");
  });

  test("the log tells what was done from what was not, with the revision that came of it", async () => {
    const about = { who: "local", what: "modify", file: CONF, repo: "files" };
    await modify("edit", { port: "91" });
    const commit = await world.repo.commitOf("main");
    const revision = `main@sha1:${commit}`;
    expect(lastCall()).toMatchObject({ ...about, operate: "edit", outcome: "committed", commit, revision });
    await modify("edit", { port: "91" });
    expect(lastCall()).toMatchObject({ ...about, outcome: "unchanged", revision });
    expect(lastCall()).not.toHaveProperty("commit");
    await modify("edit", { none: "1" });
    const why = `${CONF}: the file has no key none`;
    expect(lastCall()).toMatchObject({ ...about, outcome: "refused", status: 404, why });
    await modify("edit", { "a=b": "1" });
    expect(lastCall()).toMatchObject({ what: "modify", outcome: "refused", status: 400 });
    await modify("edit", { port: null });
    expect(lastCall()).toMatchObject({ what: "modify", outcome: "refused", status: 400 });
    expect(lastCall()["why"]).toContain("datas/port");
    expect(controller.logged("ApiCall").filter(({ file, outcome }) => file === CONF && !outcome)).toEqual([]);
  });

  test("numbers and booleans are the text that they are written as; what is none of a line's is refused by its key", async () => {
    expect(await modifyText('{"version": 1.10, "id": 12345678901234567890, "on": true, "off": false}')).toBe(200);
    expect(await served()).toContain("version=1.10\nid=12345678901234567890\non=true\noff=false\n");
    for (const value of [null, {}, { a: 1 }, [], ["a"]]) {
      const { status, msg } = await modify("edit", { port: value });
      expect(status).toBe(400);
      expect(msg).toMatch(/datas\/port:? must be a text, a number, true or false/);
    }
  });

  test("what is wrong with a file is said with its name", async () => {
    expect((await modify("add", { port: "1" })).msg).toBe(`${CONF}: the file has already key port`);
  });
});

describe("lists", () => {
  test("are of the places that are served: of another mod there is none", async () => {
    expect((await json("/api/get_filelist/?app=web&env=prod&mod=env")).status).toBe(200);
    const { status, body } = await json("/api/get_filelist/?app=web&env=prod&mod=nginx");
    expect({ status, body }).toEqual({ status: 400, body: { msg: expect.stringMatching(/^mod: .*\/archive/) } });
  });
});

describe("GET /sync", () => {
  test("leaves a line that says which sync it was; and one that says that it was refused", async () => {
    expect((await json("/sync?app=web&env=prod")).status).toBe(200);
    const done = lastCall();
    expect(done).toMatchObject({ what: "sync", app: "web", repo: "files" });
    expect(done).not.toHaveProperty("outcome");
    expect((await json(`/api/v1/operations/${String(done["operation"])}`)).status).toBe(200);
    expect((await json("/sync?app=none")).status).toBe(404);
    expect(lastCall()).toMatchObject({ what: "sync", app: "none", outcome: "refused", status: 404 });
    expect(lastCall()).not.toHaveProperty("operation");
  });

  test("is no success when Git could not be asked: a commit may be there that no host has", async () => {
    await rename(world.repo.path, `${world.repo.path}.away`);
    try {
      const known = await json("/sync?app=web&env=prod");
      expect(known.status).toBe(500);
      expect((known.body as { msg: string }).msg).toMatch(
        /^git pull failed:.+; what hosts were sent is main@sha1:\w{8}$/,
      );
      // It may be an app that was pushed just now.
      const unknown = await json("/sync?app=new");
      expect(unknown.status).toBe(500);
      expect((unknown.body as { msg: string }).msg).toMatch(/^git pull failed:.+; no app with app new$/);
      expect((await modify("edit", { port: "1" })).status).toBe(502);
      expect(lastCall()).toMatchObject({ what: "modify", outcome: "refused", status: 502, reason: "FetchFailed" });
      // While it is suspended nobody is asked.
      expect((await post(controller, "/api/v1/suspend", { repo: "files" })).status).toBe(200);
      expect((await json("/sync?app=web&env=prod")).status).toBe(200);
      expect((await json("/sync?app=new")).status).toBe(404);
    } finally {
      await rename(`${world.repo.path}.away`, world.repo.path);
    }
    expect((await post(controller, "/api/v1/resume", { repo: "files" })).status).toBe(200);
    const body = [expect.stringMatching(/:success$/)];
    expect(await json("/sync?app=web&env=prod")).toEqual({ status: 200, body });
  });
});

test("names of secret files are told to nobody who may not read them", async () => {
  const read = "reader-0123456789abcdef";
  const pull = "puller-0123456789abcdef";
  await world.putSecret("api", { read, pull });
  await controller.stop();
  const open = await world.start("--compat", "--compat-anonymous", "--tokens-secret", "api");
  const names = async (token?: string) => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await fetch(`${open.url}/getfile?app=web&zone=prod`, { headers });
    return ((await answer.json()) as { msg: string[] }).msg;
  };
  expect(await names()).toEqual(["etc/web.conf"]);
  expect(await names(read)).toEqual(["etc/web.conf"]);
  expect(await names(pull)).toEqual(["etc/tls.key", "etc/web.conf"]);
  await open.stop();
}, 60_000);

test("the command of docs/migration.md serves them as they were, to whoever reaches the port", async () => {
  await using small = await World.create({ hosts: 1, kind: "ports", app: WEB, files: FILES });
  const page = readFileSync(join(import.meta.dirname, "../../../docs/migration.md"), "utf8");
  const [, flags] = /^fssync run -f fssync\.yaml (.* --compat-anonymous)$/m.exec(page)!;
  await small.putSecret("api", { operate: "admin operator-0123456789abcdef" });
  const running = small.spawn(["run", ...flags!.replace(":8080", ":0").split(" ")]);
  const addressIn = () => /"address":"http:\/\/[^"]*:(\d+)"/.exec(running.stderr)?.[1];
  try {
    await until(() => addressIn() !== undefined || running.child.exitCode !== null, 20_000, "it to listen");
    expect(running.child.exitCode, running.stderr).toBe(null);
    const ask = (path: string) => fetch(`http://127.0.0.1:${addressIn()}${path}`);
    await until(async () => (await ask("/getfile?app=web&zone=prod")).status === 200, 20_000, "Git to be read");
    expect((await ask("/api/v1/repos")).status).toBe(401);
  } finally {
    running.child.kill("SIGTERM");
    await running.ended;
  }
}, 60_000);
