import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AppKey } from "../../src/model/app.ts";
import { runtimeDir } from "../../src/runtime-dir.ts";
import { until, type FleetHost } from "../support/fleet.ts";
import { World, type Running } from "../support/world.ts";

export const APP: AppKey = "nginx/prod/web";

/** Which client of `spec.ssh` connects. */
export type Client = "builtin" | "openssh";

export interface BenchWorldOptions {
  readonly hosts: number;
  /** Files of the app as hosts have them, path → content. */
  readonly files: ReadonlyMap<string, string>;
  /** Laid over the document's spec. */
  readonly spec?: Record<string, object>;
}

/**
 * Hosts in a network namespace and their app in Git. The controller is asked, it does not poll: what is measured is the
 * work, not the wait for the next poll.
 */
export async function benchWorld(
  { hosts, files, spec = {} }: BenchWorldOptions,
  stack: AsyncDisposableStack,
): Promise<World> {
  // In memory: creating and wiping 40,000 files on a disk would be what is measured.
  const dir = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "bench-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const changes = inGit(files);
  const calm = { git: { interval: "1h" }, inventory: { interval: "1h", file: { path: "hosts.json" } } };
  const common = { hosts, files: changes, app: APP, dir };
  const world = stack.use(await World.create({ kind: "namespace", ...common, spec: { ...calm, ...spec } }));
  await writeFile(join(world.dir, "hosts.json"), JSON.stringify(world.fleet.hosts.map(hostObject)));
  return world;
}

/** The same files where Git has them. */
export function inGit(files: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...files].map(([path, text]) => [`${APP}/${path}`, text]));
}

export interface StartOptions {
  readonly client: Client;
  readonly level?: "warn" | "info";
  readonly env?: Record<string, string>;
  /** It finds what an earlier one left: hosts that have what Git has are not synced. */
  readonly goesOn?: boolean;
}

/** A controller that knows Git and, unless it goes on, has synced nothing. Whoever starts it ends it. */
export async function startController(
  world: World,
  { client, level = "warn", env = {}, goesOn = false }: StartOptions,
): Promise<Running> {
  if (!goesOn) await rm(world.dataDir, { recursive: true, force: true });
  await world.configure({ ssh: { client } });
  const controller = world.spawn(["run", "--log-level", level], env);
  const answers = () => controller.child.exitCode !== null || listens(controlSocket(world.dataDir));
  await until(answers, 60_000, "the controller's socket");
  if (controller.child.exitCode !== null) throw new Error(controller.stderr);
  return controller;
}

export async function stopController(controller: Running): Promise<void> {
  controller.child.kill("SIGTERM");
  const { code, stderr } = await controller.ended;
  if (code !== 0) throw new Error(`the controller ended with ${code}: ${stderr.slice(-2000)}`);
}

export function controlSocket(dataDir: string): string {
  return join(runtimeDir(dataDir), "control.sock");
}

async function listens(socket: string): Promise<boolean> {
  const connection = connect(socket);
  try {
    await once(connection, "connect");
    return true;
  } catch {
    return false;
  } finally {
    connection.destroy();
  }
}

/** So many files of 6.5 KB; 200 are 1.3 MB. */
export function fileContents(files: number, round: number): Map<string, string> {
  return new Map(
    Array.from({ length: files }, (_, number) => [
      `etc/app/conf.d/file-${number}.conf`,
      `# file ${number}, round ${round}\n${`key-${number} = value\n`.repeat(400)}`,
    ]),
  );
}

function hostObject({ address, port, root }: FleetHost) {
  const [mod, env, app] = APP.split("/");
  return { address, port, root, mod, env, app };
}
