/**
 * Proves deploy/Dockerfile without Docker, as root on Debian: runs its instructions in folders that hold what the
 * base image holds, then runs the image as the chart's pod does, on real hosts: `npm run image:prove`. Takes some
 * minutes, and needs debootstrap and Debian's and npm's packages.
 */
import { readFileSync } from "node:fs";
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { descendants, until } from "../support/fleet/processes.ts";
import { World } from "../support/world.ts";
import { makeBase, must } from "./base.ts";
import { buildStage, finish, type ImageConfig } from "./build.ts";
import { startContainer, type ContainerOptions } from "./container.ts";
import { parseDockerfile } from "./dockerfile.ts";

const TOP = resolve(import.meta.dirname, "../..");
const ID = 65_532;
/** Programs that build software, or install it. */
const UNWANTED = ["npm", "npx", "yarn", "corepack", "tsc", "gcc", "cc", "make", "python3"];
const begin = performance.now();

function say(text: string): void {
  process.stdout.write(`${((performance.now() - begin) / 1000).toFixed(1).padStart(6)} s  ${text.slice(0, 150)}\n`);
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not so: ${what}`);
  say(`ok: ${what}`);
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

await using stack = new AsyncDisposableStack();
const work = await mkdtemp(join(tmpdir(), "fssync-image-"));
stack.defer(() => rm(work, { recursive: true, force: true }));
const { root, image } = build();
await prove(root, image);

function build(): { root: string; image: ImageConfig } {
  const roots = new Map<string, string>();
  const base = join(work, "base");
  let last: { root: string; image: ImageConfig } | undefined;
  for (const [index, stage] of parseDockerfile(readFileSync(join(TOP, "deploy/Dockerfile"), "utf8")).entries()) {
    say(`FROM ${stage.from}`);
    if (index === 0) makeBase(stage.from, base);
    const own = join(work, `stage-${index}`);
    must("cp", ["--archive", "--reflink=auto", base, own]);
    last = { root: own, image: buildStage({ stage, root: own, context: TOP, stages: roots, say }) };
    if (stage.alias !== undefined) roots.set(stage.alias, own);
  }
  finish(last!.root);
  say(`the image takes ${must("du", ["-sm", last!.root]).split("\t")[0]} MB`);
  return last!;
}

async function prove(root: string, image: ImageConfig): Promise<void> {
  await using world = await World.create({
    hosts: 3,
    kind: "ports",
    files: { "nginx/prod/web/etc/app.conf": "one\n", "nginx/prod/web/etc/.gitattributes": "*.conf mode=0640\n" },
  });
  const [data, config] = [join(work, "data"), join(work, "config")];
  await mkdir(data);
  await chown(data, 0, ID);
  await chmod(data, 0o2777);
  await cp(world.configFile, join(config, "fssync.yaml"));
  await cp(join(world.dir, "secrets"), join(config, "secrets"), { recursive: true });
  must("chown", ["-R", `${ID}:${ID}`, config, world.repo.path]);
  const env = { FSSYNC_ALLOW_FILE_URLS: "true" };
  const options: ContainerOptions = { root, image, data, config, folders: [world.repo.path], env };
  const run = async (...argv: string[]) => await startContainer(options, argv).ended;
  const shell = async (script: string) => await run("sh", "-c", script);

  const version = await run(...image.entrypoint, "--version");
  check(version.code === 0, `fssync --version says ${version.stdout.trim()}`);
  const whoami = await shell("id --user --name; id --groups; grep CapEff /proc/self/status; tail -n1 /proc/mounts >&2");
  check(whoami.stdout.startsWith(`fssync\n${ID}\n`), "it runs as fssync, a user that /etc/passwd names");
  check(/CapEff:\s+0+$/m.test(whoami.stdout), "it has no capabilities");
  check((await shell("touch /etc/x /opt/fssync/x")).code !== 0, "its root is read-only");
  const found = await shell(`command -v ${UNWANTED.join(" ")}`);
  check(found.stdout === "", `it has none of ${UNWANTED.join(" ")}`);
  const { packages } = JSON.parse(await readFile(join(TOP, "package-lock.json"), "utf8")) as Lock;
  const installed = (await shell("cd /opt/fssync && ls -d node_modules/* node_modules/@*/*")).stdout.split("\n");
  const needless = installed.filter((path) => packages[path]?.dev === true);
  check(needless.length === 0, `it has no package of the development ${needless.join(" ")}`);
  const versions = await shell("git --version; ssh -V 2>&1; rsync --version | head -n1; node --version");
  check(versions.code === 0, versions.stdout.trim().replaceAll("\n", ", "));

  const validated = await run(...image.entrypoint, "validate");
  check(validated.code === 0, `fssync validate: ${validated.stdout.trim().split("\n").at(-1)} ${validated.stderr}`);

  const controller = startContainer(options, [...image.entrypoint, ...image.cmd]);
  const content = (index: number) =>
    readFile(join(world.fleet.hosts[index]!.dir, "etc/app.conf"), "utf8").catch(() => "");
  try {
    const synced = async () => (await Promise.all([0, 1, 2].map(content))).every((text) => text === "one\n");
    await until(synced, 30_000, "three hosts to have the file").catch((error: unknown) => {
      throw new Error(controller.stderr, { cause: error });
    });
    say("ok: fssync run synced three hosts over ssh");
    const health = await run(...image.healthcheck);
    check(health.code === 0, "the health check is content");
    const tini = descendants(controller.child.pid!).at(0)!;
    process.kill(tini, "SIGTERM");
    const { code, stderr } = await controller.ended;
    check(code === 0 && stderr.includes('"drained"'), "it drains on SIGTERM and ends with 0");
    check((await run(...image.healthcheck)).code === 1, "the health check tells that it is gone");
  } finally {
    controller.child.kill("SIGKILL");
  }
}
