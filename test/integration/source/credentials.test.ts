import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeRepo, type TestRepo } from "../../support/repo.ts";
import { type HttpRemote, serveGit, serveRedirect } from "./http-remote.ts";
import { memoryLog, openSource, temporaryFolder, type TemporaryFolder, wrapGit } from "./open-source.ts";

const LOGIN = { username: "robot", password: "s3cret-w0rd'$(id)\"" };
const { signal } = new AbortController();

describe("credentials over http", () => {
  let repo: TestRepo;
  let dir: TemporaryFolder;
  let remote: HttpRemote;

  beforeEach(async () => {
    repo = await makeRepo({ "nginx/prod/web/etc/nginx.conf": "user www;\n" });
    dir = await temporaryFolder();
    remote = await serveGit(repo, LOGIN);
  });

  afterEach(async () => {
    await remote[Symbol.asyncDispose]();
    await repo[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  });

  it("reaches the remote, and the password is in no argument, variable or log line", async () => {
    await using git = await wrapGit(`{ tr '\\0' ' ' </proc/$$/cmdline; env; } >>"$LOG"`);
    const { log, text } = memoryLog();
    await using source = openSource({ url: remote.url, dir: dir.path, log, secret: async () => secretOf(LOGIN) });
    expect(await source.poll(signal)).toBe(await repo.commitOf("main"));
    expect(await git.calls()).toContain("fetch");
    expect(await git.calls()).not.toContain("s3cret");
    expect(text()).not.toContain("s3cret");
  });

  it("lets only the owner read what it keeps", async () => {
    await using source = openSource({ url: remote.url, dir: dir.path, secret: async () => secretOf(LOGIN) });
    await source.poll(signal);
    const folder = join(dir.path, "credentials");
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const name of await readdir(folder)) expect((await stat(join(folder, name))).mode & 0o077).toBe(0);
  });

  it("uses a rotated password at the next poll", async () => {
    let secret = secretOf({ ...LOGIN, password: "old" });
    await using source = openSource({ url: remote.url, dir: dir.path, secret: async () => secret });
    const refused = await source.poll(signal).catch((error: unknown) => error);
    expect(refused).toMatchObject({ reason: "FetchFailed" });
    expect(String(refused)).not.toContain("old");
    secret = secretOf(LOGIN);
    expect(await source.poll(signal)).toBe(await repo.commitOf("main"));
  });

  it("says which key of the secret is missing", async () => {
    await using source = openSource({
      url: remote.url,
      dir: dir.path,
      secret: async () => new Map([["username", "robot"]]),
      secretName: "git",
    });
    await expect(source.poll(signal)).rejects.toMatchObject({
      reason: "SecretInvalid",
      message: expect.stringMatching(/Secret git .* has no key `password`: git.url is https/),
    });
  });

  it("tells nothing to a host that a redirect leads to", async () => {
    await using redirect = await serveRedirect(remote);
    await using source = openSource({ url: redirect.url, dir: dir.path, secret: async () => secretOf(LOGIN) });
    await expect(source.poll(signal)).rejects.toMatchObject({ reason: "FetchFailed" });
  });

  it("fails without a prompt when there is no secret", async () => {
    await using source = openSource({ url: remote.url, dir: dir.path });
    await expect(source.poll(signal)).rejects.toMatchObject({ reason: "FetchFailed" });
  });
});

function secretOf(login: { username: string; password: string }): ReadonlyMap<string, string> {
  return new Map([
    ["username", `${login.username}\n`],
    ["password", `${login.password}\n`],
  ]);
}
