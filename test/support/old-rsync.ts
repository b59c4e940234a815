import { execFile } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { hasCommand, run } from "./fleet/processes.ts";

/** One rsync of another time, with the libraries and the loader that it was built for. */
export interface OldRsync {
  /** As it says it: `3.2.3`. */
  readonly version: string;
  /** A program without spaces in its path. */
  readonly path: string;
}

/** Releases of Debian that archives of today carry, oldest first. Their rsync changes in its bugs at most. */
const RELEASES = ["bullseye", "bookworm", "trixie"];

const ARCHIVE_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

const execute = promisify(execFile);

const NEEDS_NETWORK =
  "skipped: other versions of rsync; on Debian or Ubuntu, with its package archive in reach, they are fetched from there, " +
  "or set FSSYNC_TEST_RSYNCS to rsync programs with `:` between\n";

/** The versions that can be had here, without the one that is installed; none, and a line that says so, where none can. */
export async function oldRsyncs(): Promise<OldRsync[]> {
  const named = process.env["FSSYNC_TEST_RSYNCS"];
  const programs = named === undefined ? await fromArchive() : named.split(":");
  if (programs.length === 0) process.stderr.write(NEEDS_NETWORK);
  return programs.map((path) => ({ path, version: versionOf(path) }));
}

export function versionOf(rsync: string): string {
  return /version v?(\d+\.\d+(?:\.\d+)?)/.exec(run(rsync, ["--version"]))![1]!;
}

/** Kept between runs, outside of the checkout: what a release has changes in its mended bugs at most. */
const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "fssync", "rsync");

async function fromArchive(): Promise<string[]> {
  const missing = RELEASES.filter((release) => !existsSync(program(release)));
  if (missing.length > 0 && ["apt-get", "apt-cache", "dpkg-deb"].every(hasCommand)) {
    mkdirSync(cache, { recursive: true });
    const dir = mkdtempSync(join(cache, "fetch-"));
    try {
      for (const release of missing) await fetchRelease(release, join(dir, release));
    } catch (error) {
      process.stderr.write(`${String(error)}\n`);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
  return RELEASES.map(program).filter((path) => existsSync(path));
}

function program(release: string): string {
  return join(cache, release, "rsync");
}

/** With lists of packages of its own: what the machine installs, and knows, stays as it is. */
async function fetchRelease(release: string, dir: string): Promise<void> {
  for (const folder of ["lists/partial", "archives/partial", "packages"])
    mkdirSync(join(dir, folder), { recursive: true });
  const sources = join(dir, "sources.list");
  writeFileSync(sources, `deb [signed-by=${ARCHIVE_KEYS}] ${archiveOfThisMachine()} ${release} main\n`);
  const settings = [
    `Dir::Etc::sourcelist=${sources}`,
    "Dir::Etc::sourceparts=-",
    `Dir::State::lists=${dir}/lists`,
    "Dir::State::status=/dev/null",
    `Dir::Cache=${dir}`,
    "Acquire::Languages=none",
    "APT::Sandbox::User=root",
  ].flatMap((setting) => ["-o", setting]);
  const packages = join(dir, "packages");
  const apt = (command: string, ...args: string[]) => execute(command, [...settings, ...args], { cwd: packages });
  await apt("apt-get", "update", "-q");
  const { stdout } = await apt("apt-cache", "depends", "-i", "rsync");
  const libraries = [...stdout.matchAll(/Depends: ((?:lib|zlib)\S+)$/gm)].map((match) => match[1]!);
  await apt("apt-get", "download", "-q", "rsync", ...libraries);
  await unpack(packages, join(dir, "unpacked"));
  writeFileSync(join(dir, "unpacked", "rsync"), startScript(join(dir, "unpacked"), join(cache, release)), {
    mode: 0o755,
  });
  // Others may be at the same: the first wins.
  if (!existsSync(program(release))) renameSync(join(dir, "unpacked"), join(cache, release));
}

/** Where this machine's packages come from, as its own configuration says. */
function archiveOfThisMachine(): string {
  const lines = run("apt-get", ["indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages"]);
  // Security updates and the like lie elsewhere, in releases with a longer name.
  const site = /^[a-z]+ (\S+)$/m.exec(lines)?.[1];
  if (site === undefined) throw new Error("apt knows no archive of Debian");
  return site;
}

async function unpack(packages: string, target: string): Promise<void> {
  for (const name of readdirSync(packages)) await execute("dpkg-deb", ["-x", join(packages, name), target]);
}

/** Starts rsync with the loader and the libraries of its own release; `files` will be at `target`. */
function startScript(files: string, target: string): string {
  const [loader] = globSync("{,usr/}lib/*/ld-linux*.so.*", { cwd: files });
  if (loader === undefined) throw new Error("libc6 brings no loader");
  const triplet = basename(dirname(loader));
  const libraries = ["lib", "usr/lib"].map((folder) => `${target}/${folder}/${triplet}`).join(":");
  return `#!/bin/sh\nexec ${target}/${loader} --library-path ${libraries} ${target}/usr/bin/rsync "$@"\n`;
}
