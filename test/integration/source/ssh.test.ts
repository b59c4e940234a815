import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, connect } from "node:net";
import { userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeRepo, type TestRepo } from "../../support/repo.ts";
import { openSource, temporaryFolder, type TemporaryFolder } from "./open-source.ts";

const SSHD = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"]
  .map((folder) => join(folder, "sshd"))
  .find((file) => existsSync(file));
const { signal } = new AbortController();

describe.skipIf(SSHD === undefined)("credentials over ssh", () => {
  let dir: TemporaryFolder;
  let repo: TestRepo;
  let url: string;
  let stop: () => Promise<void>;
  let identity: string;
  let knownHosts: string;

  beforeAll(async () => {
    dir = await temporaryFolder();
    repo = await makeRepo({ "nginx/prod/web/etc/nginx.conf": "user www;\n" });
    const keys = join(dir.path, "keys");
    await mkdir(keys, { mode: 0o700 });
    for (const name of ["host", "user"]) {
      spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(keys, name)]);
    }
    const port = await freePort();
    const config = {
      Port: port,
      ListenAddress: "127.0.0.1",
      HostKey: join(keys, "host"),
      AuthorizedKeysFile: join(keys, "user.pub"),
      StrictModes: "no",
      UsePAM: "no",
      PasswordAuthentication: "no",
      PermitRootLogin: "prohibit-password",
      PidFile: "none",
    };
    const file = join(keys, "sshd_config");
    await writeFile(
      file,
      Object.entries(config)
        .map(([key, value]) => `${key} ${value}\n`)
        .join(""),
    );
    if (process.getuid?.() === 0) await mkdir("/run/sshd", { recursive: true });
    const child = spawn(SSHD!, ["-D", "-e", "-f", file], { stdio: "ignore" });
    const closed = new Promise((resolve) => child.on("close", resolve));
    stop = async () => {
      child.kill();
      await closed;
    };
    await listening(port);
    identity = await readFile(join(keys, "user"), "utf8");
    knownHosts = `[127.0.0.1]:${port} ${await readFile(join(keys, "host.pub"), "utf8")}`;
    url = `ssh://${userInfo().username}@127.0.0.1:${port}${repo.path}`;
  });

  afterAll(async () => {
    await stop();
    await repo[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  });

  it("pushes with the key of the secret", async () => {
    await using fresh = await temporaryFolder();
    const secret = async () => new Map(Object.entries({ identity, known_hosts: knownHosts }));
    await using source = openSource({ url, dir: fresh.path, secret });
    const change = { path: "nginx/prod/web/etc/new.conf", edit: () => Buffer.from("a=1\n"), message: "change" };
    expect(await source.editor.commit(change, signal)).toBe(await repo.commitOf("main"));
  });

  it("reaches the remote with the key and the known_hosts of the secret", async () => {
    const secret = new Map([
      ["identity", identity.trimEnd()],
      ["known_hosts", knownHosts],
    ]);
    await using source = openSource({ url, dir: join(dir.path, "good % name"), secret: async () => secret });
    expect(await source.poll(signal)).toBe(await repo.commitOf("main"));
  });

  it("refuses a host whose key known_hosts does not hold", async () => {
    const secret = new Map([
      ["identity", identity],
      ["known_hosts", "other.example.com ssh-ed25519 AAAA\n"],
    ]);
    await using source = openSource({ url, dir: join(dir.path, "unknown"), secret: async () => secret });
    await expect(source.poll(signal)).rejects.toMatchObject({
      reason: "FetchFailed",
      message: expect.stringContaining("ost key"),
    });
  });

  it("says which key of the secret is missing", async () => {
    await using source = openSource({
      url,
      dir: join(dir.path, "none"),
      secret: async () => new Map([["identity", "x"]]),
    });
    await expect(source.poll(signal)).rejects.toMatchObject({
      reason: "SecretInvalid",
      message: expect.stringContaining("`known_hosts`"),
    });
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Connects until somebody answers. */
async function listening(port: number): Promise<void> {
  for (;;) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket
        .once("data", () => resolve(true))
        .once("error", () => resolve(false))
        .once("close", () => socket.destroy());
      socket.once("data", () => socket.destroy());
    });
    if (answered) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
