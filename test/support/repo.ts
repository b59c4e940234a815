import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodePath } from "../../src/model/path.ts";

/** What a path shall be after a commit: a plain file's content, something special, or null: removed. */
export type Change =
  | string
  | Buffer
  | { readonly executable: string }
  | { readonly symlink: string }
  | { readonly submodule: string }
  | null;

export type Changes = Readonly<Record<string, Change>>;

/** A bare repo in a temporary folder, filled by `git fast-import`: any name, any mode, no work tree. */
export class TestRepo implements AsyncDisposable {
  readonly path: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, "remote.git");
  }

  get url(): string {
    return `file://${this.path}`;
  }

  /** Adds a commit to a branch and returns its id. Paths are as `decodePath` gives them. */
  async commit(changes: Changes, options: { branch?: string; message?: string } = {}): Promise<string> {
    const { branch = "main", message = "change" } = options;
    const before = await this.commitOf(branch);
    return this.#import(changes, branch, message, before);
  }

  /** Replaces the branch by one commit without parents that holds just these files. */
  async forcePush(files: Changes, branch = "main"): Promise<string> {
    return this.#import(files, branch, "rewritten", null);
  }

  async removeBranch(branch = "main"): Promise<void> {
    await this.git(["update-ref", "-d", `refs/heads/${branch}`]);
  }

  /** Drops everything that no branch reaches. */
  async prune(): Promise<void> {
    await this.git(["reflog", "expire", "--expire=now", "--all"]);
    await this.git(["gc", "--quiet", "--prune=now"]);
  }

  /** Id of a tree or blob, `<commit>:<path>`. */
  async id(name: string): Promise<string> {
    return (await this.git(["rev-parse", "--verify", name])).toString("utf8").trim();
  }

  async commitOf(branch: string): Promise<string | null> {
    return this.id(`refs/heads/${branch}`).catch(() => null);
  }

  git(args: readonly string[], stdin?: Buffer): Promise<Buffer> {
    return runGit(["--git-dir", this.path, ...args], stdin);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #import(changes: Changes, branch: string, message: string, parent: string | null): Promise<string> {
    await this.git(["fast-import", "--quiet", "--force"], importStream(changes, branch, message, parent));
    return this.id(`refs/heads/${branch}`);
  }
}

export async function makeRepo(files?: Changes): Promise<TestRepo> {
  const repo = new TestRepo(await mkdtemp(join(tmpdir(), "fssync-repo-")));
  await runGit(["init", "--quiet", "--bare", "--initial-branch=main", repo.path]);
  if (files !== undefined) await repo.commit(files);
  return repo;
}

/** `mods` × `envs` × `apps` apps with `files` small files each. */
export function fleetFiles({ apps, files }: { apps: number; files: number }): Record<string, string> {
  const changes: Record<string, string> = {};
  for (let app = 0; app < apps; app++) {
    const folder = `mod${app % 10}/${app % 2 === 0 ? "prod" : "test"}/app${app}`;
    for (let file = 0; file < files; file++) {
      changes[`${folder}/etc/service/conf.d/${file}.conf`] = `app ${app} file ${file}\n`;
    }
  }
  return changes;
}

let clock = 1_700_000_000;

function importStream(changes: Changes, branch: string, message: string, parent: string | null): Buffer {
  const text = Buffer.from(message);
  const parts: (string | Buffer)[] = [
    `reset refs/heads/${branch}\n`,
    ...(parent === null ? [] : [`from ${parent}\n`]),
    `\ncommit refs/heads/${branch}\n`,
    `committer Tester <tester@example.com> ${clock++} +0000\n`,
    `data ${text.length}\n`,
    text,
    "\n",
  ];
  for (const [path, change] of Object.entries(changes)) parts.push(...importLines(quoted(path), change));
  parts.push("\n");
  return Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
}

function importLines(path: string, change: Change): (string | Buffer)[] {
  if (change === null) return [`D ${path}\n`];
  if (typeof change === "string" || Buffer.isBuffer(change)) return inline("100644", path, change);
  if ("executable" in change) return inline("100755", path, change.executable);
  if ("symlink" in change) return inline("120000", path, change.symlink);
  return [`M 160000 ${change.submodule} ${path}\n`];
}

function inline(mode: string, path: string, content: string | Buffer): (string | Buffer)[] {
  const bytes = Buffer.from(content as string);
  return [`M ${mode} inline ${path}\ndata ${bytes.length}\n`, bytes, "\n"];
}

/** C-style quotes, as fast-import wants them for unusual names. */
function quoted(path: string): string {
  let text = '"';
  for (const byte of encodePath(path)) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
  }
  return `${text}"`;
}

/** Runs git without any configuration of the machine. */
export function runGit(args: readonly string[], stdin?: Buffer): Promise<Buffer> {
  const env = {
    PATH: process.env["PATH"],
    HOME: "/nonexistent",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
  };
  return new Promise((resolve, reject) => {
    const child = spawn("git", args, { env, stdio: ["pipe", "pipe", "pipe"] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(Buffer.concat(out));
      else reject(new Error(`git ${args.join(" ")}: exit ${code}: ${Buffer.concat(err).toString("utf8")}`));
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(stdin);
  });
}
