import { randomBytes } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/clock/system-clock.ts";
import type { SiteDesk } from "../../../../src/http/site.ts";
import { FssyncError } from "../../../../src/model/errors.ts";
import { Metrics } from "../../../../src/metrics/metrics.ts";
import type { DesiredApp } from "../../../../src/model/manifest.ts";
import type { Revision } from "../../../../src/model/revision.ts";
import type { Access, Action } from "../../../../src/ports/access.ts";
import { FakeGitSource } from "../../../support/fakes.ts";
import { makeApp, objectId } from "../../../support/factories.ts";
import { until } from "../../../support/fleet.ts";
import { serve, type Served } from "../rig.ts";

const WEB = "nginx/prod/web";
const FILES = { "etc/a.conf": "a", "etc/key": { text: "key", secret: true } } as const;

let served: Served | undefined;
afterEach(() => served?.[Symbol.asyncDispose]());

/** A server of one repo, whose head has these apps; nothing was read when there are none. */
async function rig({
  apps = [makeApp(WEB, FILES)],
  repo = "files",
  access = null,
}: { apps?: readonly DesiredApp[]; repo?: string; access?: Access | null } = {}) {
  const source = new FakeGitSource();
  // As long as the fake says that they are.
  source.read = async function* (blobs) {
    for (const size of (await source.sizes(blobs)).values()) yield Buffer.alloc(size);
  };
  const revision: Revision | null =
    apps.length > 0 ? source.push(Object.fromEntries(apps.map((app) => [app.key, app]))) : null;
  const fleet = { revision, desired: new Map(apps.map((app) => [app.key, app])) };
  const one = { repo, source, fleet };
  const controller = { repos: [one], repo: (name: string) => (name === repo ? one : undefined) };
  const desk = { controller } as unknown as SiteDesk;
  const telemetry = new Metrics({ clock: systemClock, version: "0" }).http;
  const site = { version: "0", metrics: async () => "", telemetry, notReady: () => null, desk: () => desk };
  served = await serve(() => {}, { site, access });
  const get = (path: string, init: RequestInit = {}) => fetch(`${served!.url}${path}`, init);
  return { source, revision, fleet, get };
}

describe("before there is anything to serve", () => {
  test("clients are told to come again", async () => {
    const { get } = await rig({ apps: [] });
    for (const path of [`/archive/files/${WEB}.tar.gz`, `/files/files/${WEB}/etc/a.conf`]) {
      const answer = await get(path);
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "5"]);
    }
  });
});

describe("names", () => {
  test("of a repo may hold a slash, of an app more than a hundred characters", async () => {
    const long = `nginx/prod/${"w".repeat(200)}.v1` as const;
    const { get } = await rig({ repo: "namespace/files", apps: [makeApp(long, FILES)] });
    expect((await get(`/archive/namespace%2Ffiles/${long}.tar.gz`)).status).toBe(200);
    expect((await get(`/files/namespace%2Ffiles/${long}/etc/a.conf`)).status).toBe(200);
    expect((await get(`/files/namespace/files/${long}/etc/a.conf`)).status).toBe(404);
  });

  test("of an app with letters of every alphabet are in the name of the archive", async () => {
    const { get } = await rig({ apps: [makeApp("nginx/prod/wéb (1)", FILES)] });
    const answer = await get(`/archive/files/nginx/prod/${encodeURIComponent("wéb (1)")}.tar.gz`);
    expect(answer.headers.get("content-disposition")).toBe(
      `attachment; filename="w_b__1_.tar.gz"; filename*=UTF-8''w%C3%A9b%20%281%29.tar.gz`,
    );
  });

  test("of a branch are written so that a header can hold them", async () => {
    const { get, fleet } = await rig();
    fleet.revision = `ветка@sha1:${objectId("x")}`;
    const answer = await get(`/files/files/${WEB}/etc/a.conf`);
    expect(decodeURIComponent(answer.headers.get("x-fssync-revision")!)).toBe(fleet.revision);
  });
});

describe("what cannot be served", () => {
  test("is an app that Git holds no more", async () => {
    const { get } = await rig({ apps: [makeApp(WEB, {}, { retired: true })] });
    const answer = await get(`/archive/files/${WEB}.tar.gz`);
    expect(answer.status).toBe(404);
    expect(((await answer.json()) as { detail: string }).detail).toContain("Git does not hold nginx/prod/web any more");
  });

  test("is an owner that tar has no room for, by name", async () => {
    const owner = "o".repeat(32);
    const { get } = await rig({ apps: [makeApp(WEB, { "etc/a.conf": { text: "a", owner } })] });
    const answer = await get(`/archive/files/${WEB}.tar.gz`);
    expect(answer.status).toBe(409);
    expect(((await answer.json()) as { detail: string }).detail).toContain(`etc/a.conf belongs to ${owner}`);
    expect((await get(`/files/files/${WEB}/etc/a.conf`)).headers.get("x-fssync-owner")).toBe(owner);
  });

  test("is a symlink with an endless target", async () => {
    const { get, source } = await rig({
      apps: [makeApp(WEB, { "etc/link": { text: "l", kind: "symlink", mode: 0o777 } })],
    });
    source.bytes.set(objectId("l"), 5000);
    expect((await get(`/archive/files/${WEB}.tar.gz`)).status).toBe(409);
  });
});

test("nothing is read for who has it already", async () => {
  const { get, source } = await rig();
  const head = await get(`/archive/files/${WEB}.tar.gz`, { method: "HEAD" });
  let read = 0;
  source.read = async function* () {
    read += 1;
    yield Buffer.alloc(0);
  };
  const headers = { "if-none-match": head.headers.get("etag")! };
  expect((await get(`/archive/files/${WEB}.tar.gz`, { headers })).status).toBe(304);
  expect(read).toBe(0);
});

test("many who ask for the same commit ask Git once", async () => {
  let known = 0;
  const access: Access = { authenticate: async () => ({ name: `somebody ${(known += 1)}` }), may: async () => true };
  const { get, source, revision } = await rig({ access });
  const headers = { authorization: "Bearer some-token-0123456789" };
  const commit = revision!.slice(-40);
  const { promise, resolve } = Promise.withResolvers<void>();
  const appAt = source.appAt.bind(source);
  source.appAt = async (app, at) => {
    await promise;
    return await appAt(app, at);
  };
  const answers = Array.from({ length: 20 }, () =>
    get(`/files/files/${WEB}/etc/a.conf?revision=${commit}`, { headers }),
  );
  await until(async () => known === 20, 10_000, "all to have asked");
  resolve();
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(source.lookups.length).toBeLessThan(20);
});

describe("revisions that nobody asked for before", () => {
  const unknown = (at: number) => `/files/files/${WEB}/etc/a.conf?revision=${at.toString(16).padStart(40, "0")}`;

  test("count, and so do apps that there are not; what is known does not", async () => {
    const names = Array.from({ length: 130 }, (_, at) => `nginx/prod/web-${at}` as const);
    const { get, revision } = await rig({ apps: names.map((name) => makeApp(name, FILES)) });
    const commit = revision!.slice(-40);
    const at = async (name: string) => (await get(`/files/files/${name}/etc/a.conf?revision=${commit}`)).status;
    for (const name of names) expect(await at(name)).toBe(200);
    for (let asked = 0; asked < 100; asked += 1) expect((await get(unknown(asked))).status).toBe(404);
    for (let asked = 0; asked < 19; asked += 1) expect(await at(`nginx/prod/none-${asked}`)).toBe(404);
    const refused = await get(unknown(101));
    expect([refused.status, Number(refused.headers.get("retry-after")) > 0]).toEqual([429, true]);
    expect(await at("nginx/prod/none")).toBe(429);
    expect((await get(unknown(101))).status).toBe(429);
    expect((await get(unknown(1))).status).toBe(404);
    expect(await at(names[0]!)).toBe(200);
  }, 20_000);

  test("wait for Git in a line that is not long", async () => {
    const { get, source } = await rig();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    let waiting = 0;
    source.contains = async () => ((waiting += 1), await promise);
    const answers = Array.from({ length: 32 }, (_, at) => get(unknown(at)));
    await until(async () => waiting === 32, 10_000, "the line to be full");
    const refused = await get(unknown(32));
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "2"]);
    resolve(false);
    expect(new Set((await Promise.all(answers)).map(({ status }) => status))).toEqual(new Set([404]));
    expect((await get(unknown(32))).status).toBe(404);
  });
});

test("of an older commit also that is secret which is called so by now, by its path or its content", async () => {
  const access: Access = {
    authenticate: async () => ({ name: "somebody" }),
    may: async (_, action) => action.subresource === undefined,
  };
  const before = makeApp(WEB, { "etc/a.conf": "a", "etc/key": "key", "etc/moved": "moved" });
  const { get, source, revision, fleet } = await rig({ apps: [before], access });
  const headers = { authorization: "Bearer some-token-0123456789" };
  const status = async (path: string) => (await get(`${path}?revision=${revision}`, { headers })).status;
  const file = (path: string) => status(`/files/files/${WEB}/${path}`);
  expect([await file("etc/key"), await file("etc/moved")]).toEqual([200, 200]);
  expect(await status(`/archive/files/${WEB}.tar.gz`)).toBe(200);
  const rotated = makeApp(WEB, { "etc/a.conf": "a", "etc/key": { text: "rotated", secret: true } });
  const vault = makeApp("nginx/prod/vault", { "etc/elsewhere": { text: "moved", secret: true } });
  fleet.revision = source.push({ [WEB]: rotated, "nginx/prod/vault": vault });
  fleet.desired = new Map([rotated, vault].map((app) => [app.key, app]));
  expect([await file("etc/key"), await file("etc/moved"), await file("etc/a.conf")]).toEqual([403, 403, 200]);
  expect(await status(`/archive/files/${WEB}.tar.gz`)).toBe(403);
});

test("who may not read secrets gets the other files, and is asked about by repo", async () => {
  const asked: Action[] = [];
  const access: Access = {
    authenticate: async () => ({ name: "somebody" }),
    may: async (_, action) => {
      asked.push(action);
      return action.subresource === undefined;
    },
  };
  const { get } = await rig({ access });
  const headers = { authorization: "Bearer some-token-0123456789" };
  expect((await get(`/files/files/${WEB}/etc/a.conf`, { headers })).status).toBe(200);
  const refused = await get(`/archive/files/${WEB}.tar.gz`, { headers });
  expect(refused.status).toBe(403);
  expect(((await refused.json()) as { detail: string }).detail).toMatch(/^etc\/key is called secret.*somebody.*pull/);
  expect(asked.at(-1)).toEqual({ verb: "get", resource: "configapps", subresource: "secrets", repo: "files" });
  expect(asked.every(({ repo }) => repo === "files")).toBe(true);
});

describe("an archive that Git lets down", () => {
  const SIZE = 3_000_000;

  /** Two files that do not get smaller, of which so many bytes can be read. */
  async function failing(bytes: number) {
    const parts = await rig({ apps: [makeApp(WEB, { "opt/a": "a", "opt/b": "b" })] });
    const content = randomBytes(2 * SIZE);
    for (const name of ["a", "b"]) parts.source.bytes.set(objectId(name), SIZE);
    parts.source.read = async function* () {
      for (let at = 0; at < content.length; at += 50_000) {
        if (at >= bytes) throw new FssyncError("SourceUnavailable", "git was killed");
        yield content.subarray(at, at + 50_000);
      }
    };
    return parts;
  }

  test("in the middle breaks off", async () => {
    const { get } = await failing(SIZE + 500_000);
    const answer = await get(`/archive/files/${WEB}.tar.gz`);
    expect(answer.status).toBe(200);
    await expect(answer.arrayBuffer()).rejects.toThrow();
  });

  test("before the first byte is a problem that nobody keeps", async () => {
    const { get, revision } = await failing(0);
    for (const path of [`/archive/files/${WEB}.tar.gz`, `/files/files/${WEB}/opt/a`]) {
      const answer = await get(`${path}?revision=${revision!.slice(-40)}`);
      expect(answer.status).toBe(503);
      expect(await answer.json()).toMatchObject({ reason: "SourceUnavailable" });
      expect([answer.headers.get("etag"), answer.headers.get("cache-control")]).toEqual([null, null]);
    }
  });

  test("not at all is whole", async () => {
    const { get } = await failing(Infinity);
    const bytes = await (await get(`/archive/files/${WEB}.tar.gz`)).arrayBuffer();
    expect(gunzipSync(Buffer.from(bytes)).length).toBeGreaterThan(2 * SIZE);
    expect((await (await get(`/files/files/${WEB}/opt/a`)).arrayBuffer()).byteLength).toBeGreaterThanOrEqual(SIZE);
  });
});
