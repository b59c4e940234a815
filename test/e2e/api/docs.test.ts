import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../support/fleet.ts";
import { Running, World, type Controller } from "../../support/world.ts";

const TOP = resolve(import.meta.dirname, "../../..");
const PAGE = readFileSync(join(TOP, "docs/api.md"), "utf8");
const BLOCKS = [...PAGE.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
const TOKENS = BLOCKS.find((text) => text.includes("secrets/api"))!;
const WATCH = BLOCKS.find((text) => text.includes("watch=true"))!;

let world: World;
let controller: Controller;
let dir: string;
let token: string;

beforeAll(async () => {
  world = await World.create({
    hosts: 1,
    kind: "ports",
    files: { "nginx/prod/web/etc/nginx/nginx.conf": "user www;\n" },
  });
  dir = join(world.dir, "user");
  mkdirSync(dir);
  expect(await run(TOKENS)).toMatchObject({ code: 0, stderr: "" });
  cpSync(join(dir, "secrets/api"), join(world.dir, "secrets/api"), { recursive: true });
  token = readFileSync(join(dir, "secrets/api/operate"), "utf8").trim().split(" ")[1]!;
  writeFileSync(join(dir, "token"), token);
  writeFileSync(join(dir, "fssync"), `#!/bin/sh\nexec "${process.execPath}" "${TOP}/src/main.ts" "$@"\n`);
  chmodSync(join(dir, "fssync"), 0o755);
  controller = await world.start("--tokens-secret", "api");
  await world.settled(1);
});
afterAll(() => world[Symbol.asyncDispose]());

/** What is written on the page, with the names of this world in it. */
function start(text: string): Running {
  const [host] = world.fleet.hosts;
  const here = text
    .replaceAll("serverfiles", "files")
    .replaceAll("10.0.0.11", `${host!.address}:${host!.port}`)
    .replace(/^(export FSSYNC_SERVER=).*$/m, `$1${controller?.url}`)
    .replace(/^(export FSSYNC_TOKEN=).*$/m, `$1${token}`);
  const env = { PATH: `${dir}:${process.env["PATH"]}` };
  return new Running(
    spawn("bash", ["--norc", "-euo", "pipefail", "-c", here], { cwd: dir, env, stdio: "pipe", detached: true }),
  );
}

async function run(text: string) {
  return await start(text).ended;
}

test("every example works, and every path of the API has one", { timeout: 120_000 }, async () => {
  const { code, stdout, stderr } = await run(BLOCKS.filter((text) => text !== TOKENS && text !== WATCH).join("\n"));
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain('"phase":"Succeeded"');
  expect(stdout).toContain("user www;\n");
  expect(stdout).toMatch(/"reason":"release freeze"/);
  expect(stdout).toContain("Accepted: 1 host is synced in full.\n");
  const asked = controller.log
    .filter(({ msg }) => msg === "request")
    .map(({ method, path }) => `${String(method)} ${String(path)}`);
  const { paths } = JSON.parse(readFileSync(join(TOP, "docs/openapi.json"), "utf8")) as {
    paths: Record<string, Record<string, object>>;
  };
  const described = Object.entries(paths)
    // Webhooks and the predecessor's endpoints have pages of their own.
    .filter(([path]) => /^\/(api\/v1|files|archive)\//.test(path))
    .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  expect(described.length).toBeGreaterThan(15);
  const without = described.filter((route) => {
    const pattern = route
      .replaceAll(".", "\\.")
      .replaceAll("{path}", ".+")
      .replaceAll(/\{[^}]+\}/g, "[^/]+");
    return !asked.some((line) => new RegExp(`^${pattern}$`).test(line));
  });
  expect(without).toEqual([]);
});

test("the example of a watch tells what there is, and then what changes", async () => {
  const running = start(`${BLOCKS[0]}\n${WATCH}`);
  try {
    await until(() => running.stdout.includes("event: synced"), 20_000, `all to be told, not ${running.stderr}`);
    expect(running.stdout).toContain("event: added");
    await world.repo.commit({ "nginx/prod/web/etc/nginx/nginx.conf": "user nginx;\n" });
    await until(() => running.stdout.includes("event: modified"), 20_000, "the change to be told");
  } finally {
    // The shell and curl.
    process.kill(-running.child.pid!, "SIGTERM");
    await running.ended;
  }
});
