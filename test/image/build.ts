import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join, posix } from "node:path";
import { must } from "./base.ts";
import { pairsOf, type Instruction, type Stage } from "./dockerfile.ts";

/** What a container is started with. */
export interface ImageConfig {
  readonly env: Record<string, string>;
  user: string;
  workdir: string;
  entrypoint: readonly string[];
  cmd: readonly string[];
  healthcheck: readonly string[];
}

export interface BuildOptions {
  readonly stage: Stage;
  /** The root file system, as the base has it at first. */
  readonly root: string;
  /** The context of the build. */
  readonly context: string;
  /** Roots of the stages before, by alias. */
  readonly stages: ReadonlyMap<string, string>;
  readonly say: (text: string) => void;
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** RUN in a root of its own, with the network and the DNS of this machine. */
const RUN = `
  mount --rbind /dev "$ROOT/dev"; mount -t proc proc "$ROOT/proc"
  mount -t tmpfs run "$ROOT/run"; cat "$CERTIFICATES" > "$ROOT/run/certificates"
  touch "$ROOT/etc/resolv.conf"; mount --bind /etc/resolv.conf "$ROOT/etc/resolv.conf"
  exec chroot "$ROOT" /usr/bin/env -i "$@"`;

/** Runs the instructions of a stage as Docker would, on a root file system. */
export function buildStage({ stage, root, context, stages, say }: BuildOptions): ImageConfig {
  const allowed = readFileSync(join(context, ".dockerignore"), "utf8").split("\n");
  const made: ImageConfig = {
    env: { PATH },
    user: "root",
    workdir: "/",
    entrypoint: [],
    cmd: [],
    healthcheck: [],
  };
  for (const instruction of stage.instructions) {
    const { name, text } = instruction;
    say(`${name} ${text.replaceAll(/\s+/g, " ")}`);
    if (name === "ENV") Object.assign(made.env, Object.fromEntries(pairsOf(text)));
    else if (name === "USER") made.user = text;
    else if (name === "ENTRYPOINT") made.entrypoint = words(text);
    else if (name === "CMD") made.cmd = words(text);
    else if (name === "HEALTHCHECK") made.healthcheck = words(text.replace(/^.*?CMD/, ""));
    else if (name === "COPY") copy(instruction);
    else if (name === "RUN") run(text);
    else if (name === "WORKDIR") {
      made.workdir = text;
      mkdirSync(join(root, text), { recursive: true });
    } else if (!["LABEL", "VOLUME", "EXPOSE"].includes(name)) throw new Error(`${name}: not known here`);
  }
  return made;

  function run(script: string): void {
    if (made.user !== "root") throw new Error("RUN as another user: not known here");
    // The package clients of this machine may have a registry of their own, and a CA.
    const registry = must("npm", ["config", "get", "registry"]).trim();
    const own = { HOME: "/root", npm_config_registry: registry, NODE_EXTRA_CA_CERTS: "/run/certificates" };
    const env = Object.entries({ ...made.env, ...own });
    const words = env.map(([key, value]) => `${key}=${value}`);
    const command = ["sh", "-c", `cd '${made.workdir}' && ${script}`];
    must("unshare", ["--mount", "--propagation", "private", "sh", "-euc", RUN, "sh", ...words, ...command], {
      ...process.env,
      ROOT: root,
      CERTIFICATES: process.env["NODE_EXTRA_CA_CERTS"] ?? "/etc/ssl/certs/ca-certificates.crt",
    });
  }

  function copy({ flags, text }: Instruction): void {
    const paths = text.split(/\s+/);
    const target = posix.resolve(made.workdir, paths.at(-1)!);
    const from = flags.get("from");
    for (const source of paths.slice(0, -1)) {
      if (from === undefined && !allowed.includes(`!${source}`)) throw new Error(`.dockerignore keeps ${source} out`);
      const path = join(from === undefined ? context : stages.get(from)!, source);
      const isFile = statSync(path).isFile();
      const into = isFile && (paths.length > 2 || paths.at(-1)!.endsWith("/"));
      const to = join(root, into ? posix.join(target, basename(source)) : target);
      mkdirSync(join(to, ".."), { recursive: true });
      cpSync(path, to, { recursive: true, verbatimSymlinks: true });
    }
  }
}

/** Keeps what is of this machine only out of the finished image. */
export function finish(root: string): void {
  rmSync(join(root, "etc/resolv.conf"), { force: true });
  writeFileSync(join(root, "etc/resolv.conf"), "");
}

function words(text: string): string[] {
  return JSON.parse(text.trim()) as string[];
}
