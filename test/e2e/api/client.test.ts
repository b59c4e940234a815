import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { freePort, World, type Controller, type Ran } from "../../support/world.ts";
import { until } from "../../support/fleet.ts";
import { putOn, textOn } from "../on-host.ts";

const TOKENS = {
  read: "reader-0123456789abcdef",
  pull: "puller-0123456789abcdef",
  operate: "operator-0123456789abcdef",
};
const WEB = "nginx/prod/web";

// Each test starts the program several times.
vi.setConfig({ testTimeout: 120_000 });

let world: World;
let controller: Controller;

beforeAll(async () => {
  world = await World.create({ hosts: 2, kind: "ports", files: { [`${WEB}/etc/a.conf`]: "a\n" } });
  await world.putSecret("api", TOKENS);
  for (const [role, token] of Object.entries(TOKENS)) writeFileSync(join(world.dir, role), `${token}\n`);
  controller = await world.start("--tokens-secret", "api");
  await world.settled(2);
});
afterAll(() => world[Symbol.asyncDispose]());

/** A command that knows nothing of this machine but the address and the token. */
function ask(
  args: readonly string[],
  { role = "operate", env = {} }: { role?: string; env?: Record<string, string> } = {},
) {
  const [command, ...rest] = args;
  const server = ["--server", controller.url, "--token-file", join(world.dir, role)];
  return world.spawnBare([command!, ...server, ...rest], env).ended;
}

function failed({ code, stderr }: Ran): string {
  expect(code).toBe(1);
  return stderr;
}

describe("status --server", () => {
  test("prints what status prints, for people and programs", async () => {
    for (const output of ["json", "wide"]) {
      const [asked, stored] = await Promise.all([ask(["status", "-o", output]), world.run("status", "-o", output)]);
      expect(asked.stderr).toBe("");
      expect(asked.code).toBe(0);
      expect(asked.stdout).toBe(stored.stdout);
    }
    const one = await ask(["status", WEB, "-o", "json"], { role: "read" });
    expect(one.stdout).toBe((await world.run("status", WEB, "-o", "json")).stdout);
  });

  test("says that an app is not known as the controller says it", async () => {
    expect(failed(await ask(["status", "nginx/prod/none"]))).toMatch(
      /fssync: UnknownName: http.*no app nginx\/prod\/none/,
    );
  });

  test("takes address and token from the environment, and what is written wins over it", async () => {
    const env = { FSSYNC_SERVER: controller.url, FSSYNC_TOKEN: TOKENS.read };
    const asked = await world.spawnBare(["status", "-o", "json"], env).ended;
    expect([asked.code, asked.stderr]).toEqual([0, ""]);
    expect((JSON.parse(asked.stdout) as { repos: object[] }).repos).toHaveLength(1);
    const nowhere = { FSSYNC_SERVER: "http://127.0.0.1:1" };
    const stored = await world.spawnBare(["status", "-o", "json", "--data-dir", world.dataDir], nowhere).ended;
    expect(stored.stdout).toBe(asked.stdout);
    const both = await world.spawnBare(["status", "--server", controller.url, "--data-dir", world.dataDir]).ended;
    expect(failed(both)).toContain("--server and --data-dir contradict each other");
    const alone = await world.spawnBare(["status", "--token-file", join(world.dir, "read")]).ended;
    expect(failed(alone)).toContain("--token-file is of use with --server only");
  });
});

describe("resync --server", () => {
  test.each(["an app", "a host"])("syncs %s in full and prints what the socket's answer prints", async (what) => {
    const [first] = world.fleet.hosts;
    const name = what === "an app" ? WEB : `${first!.address}:${first!.port}`;
    putOn(first!, "etc/a.conf", "by hand\n");
    const socket = await world.run("resync", name);
    await until(() => textOn(first!, "etc/a.conf") === "a\n", 20_000, "the first resync");
    putOn(first!, "etc/a.conf", "by hand\n");
    const asked = await ask(["resync", name]);
    expect(asked).toEqual({ code: 0, stderr: "", stdout: socket.stdout });
    expect(asked.stdout).toBe(`Accepted: ${what === "an app" ? "2 hosts are" : "1 host is"} synced in full.\n`);
    await until(() => textOn(first!, "etc/a.conf") === "a\n", 20_000, "the second resync");
    const calls = controller.log.filter(({ event }) => event === "ApiCall");
    expect(calls.at(-1)).toMatchObject({ who: "operate", what: "sync", full: true });
  });

  test("says of a repo that is suspended what the socket's answer says", async () => {
    const set = async (what: string) => {
      const headers = { authorization: `Bearer ${TOKENS.operate}`, "content-type": "application/json" };
      const body = JSON.stringify({ repo: "files" });
      const { status } = await fetch(`${controller.url}/api/v1/${what}`, { method: "POST", headers, body });
      expect(status).toBe(200);
    };
    await set("suspend");
    const asked = await ask(["resync", WEB]);
    expect(asked).toEqual(await world.run("resync", WEB));
    expect(asked).toMatchObject({ code: 0, stdout: expect.stringContaining("files is suspended") as string });
    await set("resume");
  });

  test("says that a name is not known", async () => {
    expect(failed(await ask(["resync", "10.1.2.3"]))).toMatch(/UnknownName: .*no host 10\.1\.2\.3/);
  });

  test("is refused with the role read, and without a token, with what to do", async () => {
    for (const role of ["read", "pull"]) {
      expect(failed(await ask(["resync", WEB], { role }))).toMatch(
        new RegExp(`Unauthorized: .*${role} may not update`),
      );
    }
    const nobody = await world.spawnBare(["resync", WEB, "--server", controller.url]).ended;
    expect(failed(nobody)).toMatch(/Unauthorized: .*\n.*--token-file/);
    const wrong = { FSSYNC_TOKEN: "wrong-0123456789abcdef" };
    const stranger = await world.spawnBare(["resync", WEB, "--server", controller.url], wrong).ended;
    expect(failed(stranger)).toContain("Unauthorized");
    expect(stranger.stderr).not.toContain("wrong-0123456789abcdef");
  });
});

describe("an address", () => {
  const status = (server: string, ...args: string[]) =>
    world.spawnBare(["status", "--server", server, ...args], { FSSYNC_TOKEN: TOKENS.read }).ended;

  test("where nobody listens is named", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    expect(failed(await status(url))).toMatch(new RegExp(`NoController: nobody answers at ${url}`));
  });

  test("to which a token would go in the clear is refused by name", async () => {
    const stderr = failed(await status("http://fssync.example.com"));
    expect(stderr).toMatch(
      /InvalidSpec: --server http:\/\/fssync\.example\.com: the token would go to fssync\.example\.com/,
    );
    expect(stderr).not.toContain(TOKENS.read);
  });

  test("of somebody else is told apart from a controller, and gets no token by a redirect", async () => {
    const seen: (string | undefined)[] = [];
    const answers: [number, Record<string, string>, string][] = [
      [200, { "content-type": "text/html" }, "<html>"],
      [502, { "content-type": "text/html" }, "<html>"],
      [302, { location: "/elsewhere" }, ""],
      [503, { "content-type": "application/problem+json" }, JSON.stringify({ detail: "nobody leads" })],
    ];
    const server: Server = createServer((request, response) => {
      seen.push(request.url);
      const [code, headers, body] = answers[seen.length - 1]!;
      response.writeHead(code, headers).end(body);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fleet/`;
      const outputs: string[] = [];
      for (const _ of answers) outputs.push(failed(await status(url)));
      expect(outputs[0]).toMatch(/answered 200, and not as fssync's API does/);
      expect(outputs[1]).toMatch(/ControllerLost: .*answered 502/);
      expect(outputs[2]).toMatch(/answered 302/);
      expect(outputs[3]).toMatch(/ControllerLost: .*nobody leads/);
      expect(new Set(seen)).toEqual(new Set(["/fleet/api/v1/status"]));
    } finally {
      server.close();
    }
  });

  test("with TLS is believed by --ca-file, and by nothing else", async () => {
    const [cert, key] = [join(world.dir, "tls.crt"), join(world.dir, "tls.key")];
    const subject = ["-subj", "/CN=fssync", "-addext", "subjectAltName=IP:127.0.0.1"];
    const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    execFileSync("openssl", ["req", "-x509", ...ec, ...subject, "-keyout", key, "-out", cert], { stdio: "pipe" });
    await controller.stop();
    const port = await freePort();
    const running = world.spawn([
      "run",
      "--listen",
      `127.0.0.1:${port}`,
      "--tokens-secret",
      "api",
      "--tls-cert",
      cert,
      "--tls-key",
      key,
    ]);
    try {
      await until(() => running.stderr.includes("controller started"), 20_000, "the controller to start");
      const url = `https://127.0.0.1:${port}`;
      const trusted = await status(url, "--ca-file", cert, "-o", "json");
      expect([trusted.code, trusted.stderr]).toEqual([0, ""]);
      const untrusted = await status(url);
      expect(failed(untrusted)).toMatch(/NoController: .*not trusted here.*--ca-file/);
      expect(failed(await status(url, "--ca-file", join(world.dir, "none")))).toContain("InvalidSpec: --ca-file");
    } finally {
      running.child.kill("SIGTERM");
      await running.ended;
      rmSync(key);
    }
  });
});
