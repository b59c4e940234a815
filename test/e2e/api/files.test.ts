import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodePath } from "../../../src/model/path.ts";
import { answerIn, send } from "../../support/raw-http.ts";
import { World, type Controller } from "../../support/world.ts";

const TOKENS = {
  read: "reader-0123456789abcdef",
  pull: "puller-0123456789abcdef",
  operate: "operator-0123456789abcdef",
};
const WEB = "files/nginx/prod/web";
const LATIN1 = decodePath(Buffer.from("nginx/prod/web/etc/caf\xe9.conf", "latin1"));
const LARGE = Buffer.alloc(3 * 1024 * 1024, "line of a large file\n");
const FILES = {
  ".gitattributes": [
    "nginx/prod/web/etc/web/** owner=www-data group=adm mode=0640",
    "nginx/prod/vault/etc/key secret",
    "nginx/prod/broken/** mode=abc",
    "",
  ].join("\n"),
  "nginx/prod/common_files/etc/motd": "hello\n",
  "nginx/prod/web/etc/a.conf": "a = 1\n",
  "nginx/prod/web/etc/a%2fb.conf": "percent\n",
  "nginx/prod/web/etc/b c?.conf": "question\n",
  "nginx/prod/web/etc/ü.conf": "umlaut\n",
  "nginx/prod/web/etc/empty": "",
  "nginx/prod/web/etc/web/site.conf": "site\n",
  "nginx/prod/web/etc/current": { symlink: "a.conf" },
  "nginx/prod/web/usr/bin/reload": { executable: "#!/bin/sh\n" },
  "nginx/prod/web/opt/large": LARGE,
  [LATIN1]: "latin-1\n",
  "nginx/prod/vault/etc/key": "the key\n",
  "nginx/prod/vault/etc/plain": "plain\n",
  "nginx/prod/broken/etc/a.conf": "broken\n",
  "nginx/prod/pointer/etc/a.bin": `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 12345\n`,
};

let world: World;
let controller: Controller;
let first: string;

beforeAll(async () => {
  world = await World.create({
    hosts: 1,
    kind: "ports",
    app: "nginx/prod/small",
    files: { ...FILES, "nginx/prod/small/etc/a": "0\n" },
    spec: { layout: { common: "common_files" } },
  });
  await world.putSecret("api", TOKENS);
  first = (await world.repo.commitOf("main"))!;
  controller = await world.start("--tokens-secret", "api");
  await world.settled(1);
});
afterAll(() => world[Symbol.asyncDispose]());

function get(path: string, options: { token?: string; headers?: Record<string, string>; method?: string } = {}) {
  const { token = TOKENS.pull, headers = {}, method = "GET" } = options;
  return fetch(`${controller.url}${path}`, { method, headers: { authorization: `Bearer ${token}`, ...headers } });
}

async function problem(answer: Response): Promise<{ status: number; detail: string; reason?: string }> {
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  return (await answer.json()) as { status: number; detail: string; reason?: string };
}

const sha256 = (text: string | Buffer) => createHash("sha256").update(text).digest("hex");

describe("a file", () => {
  test("is served as a host has it: content, digest, owner, group and mode", async () => {
    const answer = await get(`/files/${WEB}/etc/web/site.conf`);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe("site\n");
    const { apps } = await world.peek();
    const { digest } = apps.find(({ app }) => app === "web")!;
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      etag: `"${sha256("site\n")}"`,
      "cache-control": "private, no-cache",
      "accept-ranges": "none",
      "content-type": "application/octet-stream",
      "content-length": "5",
      "x-content-type-options": "nosniff",
      "x-fssync-revision": `main@sha1:${first}`,
      "x-fssync-digest": digest,
      "x-fssync-owner": "www-data",
      "x-fssync-group": "adm",
      "x-fssync-mode": "0640",
    });
  });

  test("of the overlay is the app's too, and a large one comes whole", async () => {
    expect(await (await get(`/files/${WEB}/etc/motd`)).text()).toBe("hello\n");
    const large = await get(`/files/${WEB}/opt/large`);
    expect(large.headers.get("content-length")).toBe(String(LARGE.length));
    expect(sha256(Buffer.from(await large.arrayBuffer()))).toBe(sha256(LARGE));
  });

  test.each([
    ["etc/a%252fb.conf", "percent\n"],
    ["etc/b%20c%3f.conf", "question\n"],
    ["etc/%C3%BC.conf", "umlaut\n"],
    ["etc%2fa.conf", "a = 1\n"],
    ["etc/empty", ""],
  ])("is found by its encoded name %s", async (path, content) => {
    const answer = await get(`/files/${WEB}/${path}`);
    expect([answer.status, await answer.text()]).toEqual([200, content]);
  });

  test("is not sent to who has it, however they say so", async () => {
    const etag = `"${sha256("a = 1\n")}"`;
    for (const has of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const answer = await get(`/files/${WEB}/etc/a.conf`, { headers: { "if-none-match": has } });
      expect([has, answer.status, await answer.text()]).toEqual([has, 304, ""]);
      expect(answer.headers.get("etag")).toBe(etag);
    }
    const other = await get(`/files/${WEB}/etc/a.conf`, { headers: { "if-none-match": `"${"0".repeat(64)}"` } });
    expect(other.status).toBe(200);
    await other.arrayBuffer();
  });

  test("is told of by HEAD without its content", async () => {
    const answer = await get(`/files/${WEB}/opt/large`, { method: "HEAD" });
    expect([answer.status, answer.headers.get("content-length")]).toEqual([200, String(LARGE.length)]);
    expect(answer.headers.get("etag")).toBe(`"${sha256(LARGE)}"`);
  });

  test("that is a symlink, is not there, or is a folder is a problem that says so", async () => {
    expect((await problem(await get(`/files/${WEB}/etc/current`))).detail).toContain("is a symlink");
    for (const path of ["etc/none", "etc", "etc/a.conf/", ".gitattributes"])
      expect((await problem(await get(`/files/${WEB}/${path}`))).status).toBe(404);
  });
});

describe("a revision", () => {
  test("that is named is served as it was, for ever; what Git no longer reaches is not", async () => {
    const before = await get(`/files/${WEB}/etc/a.conf?revision=${first}`);
    expect(await before.text()).toBe("a = 1\n");
    expect(before.headers.get("cache-control")).toContain("immutable");
    const second = await world.repo.commit({ "nginx/prod/web/etc/a.conf": "a = 2\n", "nginx/prod/gone/etc/x": "x\n" });
    await world.when(({ revision }) => revision?.endsWith(second) === true, "the second commit");
    expect(await (await get(`/files/${WEB}/etc/a.conf`)).text()).toBe("a = 2\n");
    const old = await get(`/files/${WEB}/etc/a.conf?revision=main@sha1:${first}`);
    expect(await old.text()).toBe("a = 1\n");
    expect(old.headers.get("x-fssync-revision")).toBe(`main@sha1:${first}`);
    const archives = await Promise.all(
      ["", `?revision=${second}`, `?revision=${first}`].map((query) => get(`/archive/${WEB}.tar.gz${query}`)),
    );
    const [now, same, other] = await Promise.all(
      archives.map(async (answer) => sha256((await answer.bytes()) as Buffer)),
    );
    expect(same).toBe(now);
    expect(other).not.toBe(now);
    expect(archives[1]!.headers.get("etag")).toBe(archives[0]!.headers.get("etag"));

    // A commit of another branch is fetched by nobody; one that exists in the mirror but was pushed away is refused too.
    const aside = await world.repo.commit({ "nginx/prod/web/etc/a.conf": "aside\n" }, { branch: "aside" });
    const third = await world.repo.commit({ "nginx/prod/gone/etc/x": null });
    await world.when(({ revision }) => revision?.endsWith(third) === true, "the third commit");
    for (const revision of [aside, "0".repeat(40), `other@sha1:${first}`]) {
      expect((await problem(await get(`/files/${WEB}/etc/a.conf?revision=${revision}`))).status).toBe(404);
    }
    for (const revision of ["main", "HEAD", first.slice(0, 10), "..", `${first}^{tree}`, `-p${first}`]) {
      const answer = await get(`/files/${WEB}/etc/a.conf?revision=${encodeURIComponent(revision)}`);
      expect([revision, (await problem(answer)).status]).toEqual([revision, 400]);
    }
    // The app is gone at the head and there at the commit.
    expect((await problem(await get("/archive/files/nginx/prod/gone.tar.gz"))).status).toBe(404);
    expect((await get(`/files/files/nginx/prod/gone/etc/x?revision=${second}`)).status).toBe(200);
  });
});

describe("an archive", () => {
  test("holds every file with owner, group, mode and name, and the symlinks", async () => {
    const dir = mkdtempSync(join(tmpdir(), "fssync-pull-"));
    try {
      const answer = await get(`/archive/${WEB}.tar.gz`);
      expect(answer.headers.get("content-type")).toBe("application/gzip");
      expect(answer.headers.get("content-disposition")).toBe('attachment; filename="web.tar.gz"');
      const body = Buffer.from(await answer.arrayBuffer());
      execFileSync("tar", ["-xzpf", "-", "--no-same-owner", "-C", dir], { input: body });
      expect(readFileSync(join(dir, "etc/motd"), "utf8")).toBe("hello\n");
      expect(readlinkSync(join(dir, "etc/current"))).toBe("a.conf");
      expect(lstatSync(join(dir, "usr/bin/reload")).mode & 0o777).toBe(0o755);
      expect(sha256(readFileSync(join(dir, "opt/large")))).toBe(sha256(LARGE));
      expect(readdirSync(Buffer.from(join(dir, "etc")), "buffer")).toContainEqual(
        Buffer.from("caf\xe9.conf", "latin1"),
      );
      const list = execFileSync("tar", ["-tvzf", "-"], { input: body, encoding: "utf8" });
      expect(list).toMatch(/-rw-r----- www-data\/adm +5 .* etc\/web\/site\.conf/);
      expect(list).not.toMatch(/^d/m);
      const again = Buffer.from(await (await get(`/archive/${WEB}.tar.gz`)).arrayBuffer());
      expect(again.equals(body)).toBe(true);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test("is not sent to who has it, and told of by HEAD", async () => {
    const head = await get(`/archive/${WEB}.tar.gz`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    const etag = head.headers.get("etag")!;
    expect(etag).toBe(`"${head.headers.get("x-fssync-digest")}"`);
    const answer = await get(`/archive/${WEB}.tar.gz`, { headers: { "if-none-match": etag } });
    expect([answer.status, await answer.text()]).toEqual([304, ""]);
  });

  test("of an app that cannot be sent is refused with the reason", async () => {
    const broken = await problem(await get("/archive/files/nginx/prod/broken.tar.gz"));
    expect(broken).toMatchObject({ status: 409, reason: "InvalidAttributes" });
    const before = await problem(await get(`/archive/files/nginx/prod/broken.tar.gz?revision=${first}`));
    expect(before).toMatchObject({ status: 409, reason: "InvalidAttributes" });
    for (const path of ["/archive/files/nginx/prod/pointer.tar.gz", "/files/files/nginx/prod/pointer/etc/a.bin"]) {
      const pointer = await problem(await get(path));
      expect(pointer).toMatchObject({ status: 409, reason: "LfsPointer" });
      expect(pointer.detail).toContain("etc/a.bin");
    }
  });

  test("of what is not known is 404, and nothing of a problem may be kept", async () => {
    for (const path of ["none/nginx/prod/web", "files/none/prod/web", "files/nginx/prod/none"]) {
      const answer = await get(`/archive/${path}.tar.gz`);
      expect([path, answer.status]).toEqual([path, 404]);
      expect([answer.headers.get("etag"), answer.headers.get("cache-control")]).not.toContain("immutable");
      expect(answer.headers.get("etag")).toBeNull();
    }
    expect((await get(`/archive/${WEB}`)).status).toBe(404);
  });
});

test("an app is served while work on it is suspended, and not when Git holds it no more", async () => {
  const suspend = (path: string) =>
    fetch(`${controller.url}/api/v1/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKENS.operate}`, "content-type": "application/json" },
      body: JSON.stringify({ repo: "files" }),
    });
  expect((await suspend("suspend")).status).toBe(200);
  expect((await get("/archive/files/nginx/prod/small.tar.gz")).status).toBe(200);
  expect((await suspend("resume")).status).toBe(200);
  const commit = await world.repo.commit({ "nginx/prod/small/etc/a": null });
  await world.when(({ revision }) => revision?.endsWith(commit) === true, "the commit");
  const gone = await problem(await get("/archive/files/nginx/prod/small.tar.gz"));
  expect(gone.status).toBe(404);
  expect((await get(`/archive/files/nginx/prod/small.tar.gz?revision=${first}`)).status).toBe(200);
});

describe("what is secret", () => {
  test("is for the role pull, as a file and in an archive; the rest is for the role read", async () => {
    for (const path of ["/files/files/nginx/prod/vault/etc/key", "/archive/files/nginx/prod/vault.tar.gz"]) {
      const refused = await problem(await get(path, { token: TOKENS.read }));
      expect(refused).toMatchObject({ status: 403, reason: "Unauthorized" });
      expect(refused.detail).toMatch(/etc\/key .*read needs the role pull/);
      for (const token of [TOKENS.pull, TOKENS.operate]) expect((await get(path, { token })).status).toBe(200);
      const guess = { "if-none-match": `"${sha256("the key\n")}"` };
      expect((await get(path, { token: TOKENS.read, headers: guess })).status).toBe(403);
    }
    expect((await get("/files/files/nginx/prod/vault/etc/plain", { token: TOKENS.read })).status).toBe(200);
    expect((await fetch(`${controller.url}/files/files/nginx/prod/vault/etc/plain`)).status).toBe(401);
    expect((await get("/files/files/nginx/prod/vault/etc/plain", { token: "nobody-0123456789" })).status).toBe(401);
  });
});

describe("what leads elsewhere", () => {
  const ways = [
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%252f",
    "%252e%252e%252f",
    "..\\",
    "..%5c",
    "%c0%ae%c0%ae/",
    "%c0%ae%c0%ae%c0%af",
    "..%c0%af",
    "..%e0%80%af",
    "..;/",
    ".%00./",
    "%uff0e%uff0e/",
    "....//",
    "/",
    "//",
    "./",
    "%2f",
    "file:///",
  ];
  const targets = ways.flatMap((way) =>
    ["etc/passwd", "nginx/prod/web/etc/a.conf", "HEAD"].map((path) => `${way.repeat(path === "HEAD" ? 2 : 8)}${path}`),
  );

  test.each([
    ["the path of a file", (text: string) => `/files/${WEB}/${text}`],
    ["the path below a folder", (text: string) => `/files/${WEB}/etc/${text}`],
    ["the app of a file", (text: string) => `/files/files/nginx/prod/${text}/etc/a.conf`],
    ["the mod", (text: string) => `/files/files/${text}/prod/web/etc/a.conf`],
    ["the env", (text: string) => `/files/files/nginx/${text}/web/etc/a.conf`],
    ["the repo", (text: string) => `/files/${text}/nginx/prod/web/etc/a.conf`],
    ["the app of an archive", (text: string) => `/archive/files/nginx/prod/${text}.tar.gz`],
    ["the mod of an archive", (text: string) => `/archive/files/${text}/prod/web.tar.gz`],
    ["the repo of an archive", (text: string) => `/archive/${text}/nginx/prod/web.tar.gz`],
    ["a file with a NUL", (text: string) => `/files/${WEB}/etc/a.conf%00${text}`],
    ["a revision", (text: string) => `/files/${WEB}/etc/a.conf?revision=${text}`],
  ])("finds nothing in %s, however it is encoded", async (_, urlOf) => {
    const port = Number(new URL(controller.url).port);
    for (const target of targets) {
      const url = urlOf(target);
      const head = `GET ${url} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${TOKENS.operate}\r\n`;
      const { status, body } = answerIn(await send(port, `${head}connection: close\r\n\r\n`));
      expect([400, 404], url).toContain(status);
      expect(body, url).not.toContain("root:");
      expect(body, url).not.toContain(world.dataDir);
      expect(JSON.parse(body), url).toMatchObject({ status });
    }
  });

  test("is only what the manifest does not hold: a name with dots in it is a name", async () => {
    const port = Number(new URL(controller.url).port);
    const head = `HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${TOKENS.pull}\r\nconnection: close\r\n\r\n`;
    expect(answerIn(await send(port, `GET /files/${WEB}/etc/a.conf ${head}`)).body).toBe("a = 1\n".replace("1", "2"));
  });
});
