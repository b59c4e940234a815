import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AppKey } from "../../src/model/app.ts";
import { hostKey, type Host } from "../../src/model/host.ts";
import { decodePath, encodePath } from "../../src/model/path.ts";
import type { AppChange, Applied, Transport, WorkOptions } from "../../src/ports/transport.ts";
import { startFleet, until, type Fleet, type FleetHost } from "../support/fleet.ts";
import { Snapshots, type FileSpec } from "../support/fleet-change.ts";
import { hasCommand, run } from "../support/fleet/processes.ts";
import { here } from "../support/machine.ts";
import { SharedMachine } from "../support/shared-machine.ts";
import type { TransportFactory } from "./transport.ts";

const isRoot = process.getuid?.() === 0;
const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
/** Tests at most that do something to their host. */
const SPOILED = 20;
const STAMP = /^\d{8}T\d{6}\.\d{3}Z$/;

const sha256 = (text: string | Buffer) => createHash("sha256").update(text).digest("hex");

/** Whether a sha256sum is at work in this folder. */
function isReading(dir: string): boolean {
  return readdirSync("/proc").some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, "utf8") === "sha256sum\n" && readlinkSync(`/proc/${pid}/cwd`) === dir;
    } catch {
      return false;
    }
  });
}

/** What every transport promises about files that somebody else changed, on a real sshd with a real rsync. */
export function transportDriftContract(name: string, factory: TransportFactory): void {
  describe(`${name} keeps the contract of Transport about what somebody else changed`, () => {
    let fleet: Fleet;
    let shared: { readonly machine: SharedMachine; readonly transport: Transport };
    let machine: FleetHost;
    let host: Host;
    let snapshots: Snapshots;
    let transport: Transport;
    let count = 0;

    beforeAll(async () => {
      fleet = await startFleet({ hosts: SPOILED + 1, kind: "ports" });
      snapshots = new Snapshots(join(fleet.dir, "snap shots"));
      shared = { machine: new SharedMachine(fleet), transport: make() };
    });
    afterAll(async () => {
      await shared.transport[Symbol.asyncDispose]();
      await fleet[Symbol.asyncDispose]();
    });

    beforeEach(() => {
      machine = shared.machine.next();
      host = asHost(machine);
      transport = shared.transport;
    });
    afterEach(async () => {
      if (transport !== shared.transport) {
        await transport[Symbol.asyncDispose]();
        await machine.down();
      }
      await shared.machine.release();
    });

    function asHost({ address, port, root }: FleetHost): Host {
      return { key: hostKey(address, port), address, port, user: fleet.user, root };
    }

    /** For tests that look at connections, or end the transport: nobody else's are on this host. */
    async function alone() {
      machine = await fleet.add();
      host = asHost(machine);
      transport = make();
    }

    function make(identityFile = fleet.identityFile): Transport {
      const secret = async () =>
        new Map([
          ["identity", readFileSync(identityFile, "utf8")],
          ["known_hosts", fleet.knownHosts],
        ]);
      const dir = join(fleet.dir, `transport ${++count}`);
      return factory({ dir, secret, hostKeys: "strict", connectTimeout: 5000 });
    }

    const within = (timeout = 20_000): WorkOptions => ({ timeout, signal: new AbortController().signal });
    const at = (path: string) => Buffer.concat([Buffer.from(`${machine.dir}/`), encodePath(path)]);
    const content = (path: string) => readFileSync(at(path), "utf8");

    function put(path: string, text: string) {
      mkdirSync(at(dirname(path)), { recursive: true });
      writeFileSync(at(path), text);
    }

    function inspect(paths: readonly string[], options = within()) {
      return transport.inspect(
        host,
        paths.map((path) => ({ path })),
        options,
      );
    }

    async function apply(apps: readonly AppChange[], keepVersions = 5, options = within()): Promise<Applied> {
      await using prepared = await transport.prepare({ ...snapshots.change(apps), keepVersions });
      return await transport.apply(host, prepared, options);
    }

    function replacing(
      app: AppKey,
      files: Record<string, string | FileSpec>,
      known: Record<string, string[]>,
      deletes: string[] = [],
    ): AppChange {
      const replaces = Object.entries(known).map(([path, texts]) => ({ path, checksums: texts.map(sha256) }));
      return { ...snapshots.app(app, files, deletes), replaces };
    }

    /** Expects success and gives what was replaced of WEB. */
    async function replaced(change: AppChange, keepVersions?: number) {
      const applied = await apply([change], keepVersions);
      expect([...applied.outcome.values()]).toEqual([null]);
      return applied.replaced.get(WEB);
    }

    const ready = () => expect(apply([snapshots.app(WEB, { ready: "" })])).resolves.toBeDefined();

    describe("looking", () => {
      test("shows right after a sync exactly what was sent", async () => {
        const owner = isRoot ? { owner: "daemon", group: "bin" } : {};
        const files = {
          "etc/a": { text: "a\n" },
          "etc/b": { text: "b\n", mode: 0o600, ...owner },
          "etc/c": { text: Buffer.from([0, 255, 10]), mode: 0o4755 },
          "etc/l": { link: "../a b\n", ...owner },
        } satisfies Record<string, FileSpec>;
        const app = snapshots.app(WEB, files);
        expect((await apply([app])).outcome.get(WEB)).toBeNull();
        const facts = await transport.inspect(host, app.send, within());
        const me = isRoot ? { owner: "root", group: "root", uid: 0, gid: 0 } : { owner: userInfo().username };
        const daemon = isRoot ? { owner: "daemon", group: "bin", uid: 1, gid: 2 } : me;
        expect(facts).toMatchObject([
          { kind: "file", mode: 0o644, checksum: sha256("a\n"), ...me },
          { kind: "file", mode: 0o600, checksum: sha256("b\n"), ...daemon },
          { kind: "file", mode: 0o4755, checksum: sha256(Buffer.from([0, 255, 10])), ...me },
          { kind: "symlink", checksum: sha256("../a b\n"), ...daemon },
        ]);
      });

      test("tells what is missing and what is no file, and waits for no FIFO", async () => {
        put("etc/folder/a", "a");
        run("mkfifo", [join(machine.dir, "etc/fifo")]);
        symlinkSync("fifo", at("etc/to-fifo"));
        symlinkSync("folder", at("etc/to-folder"));
        const paths = ["etc/gone", "etc/folder", "etc/fifo", "etc/to-fifo", "etc/to-folder/a", "etc/folder/a/b"];
        expect(await inspect(paths)).toMatchObject([
          { kind: "missing" },
          { kind: "other" },
          { kind: "other" },
          { kind: "symlink", checksum: sha256("fifo") },
          { kind: "file", checksum: sha256("a") },
          { kind: "missing" },
        ]);
      });

      test("takes odd names as they are", async () => {
        const names = [
          "new\nline",
          "back\\slash",
          "-rf",
          "$(id)",
          "quo'te\"s",
          decodePath(Buffer.of(0x66, 0xff, 0xfe)),
        ];
        for (const each of names) put(each, each);
        const facts = await inspect([...names, "gone\nline"]);
        expect(facts.map((fact) => (fact.kind === "file" ? fact.checksum : fact.kind))).toEqual([
          ...names.map(sha256),
          "missing",
        ]);
      });

      test("1,000 files, and again from the same list", async () => {
        const files = Array.from({ length: 1000 }, (_, number) => ({ path: `etc/app/file-${number}.conf` }));
        for (const { path } of files) put(path, path);
        for (let look = 0; look < 2; look++) {
          const facts = await transport.inspect(host, files, within());
          expect(facts.map((fact) => fact.kind === "file" && fact.checksum)).toEqual(
            files.map(({ path }) => sha256(path)),
          );
        }
      });

      test("a root that is not there holds nothing; no files are no connection", async () => {
        host = { ...host, root: join(host.root, "nowhere") };
        expect(await inspect(["a"])).toEqual([{ kind: "missing" }]);
        await machine.down();
        expect(await inspect([])).toEqual([]);
      });

      if (isRoot)
        test("owners without a name are numbers", async () => {
          put("etc/a", "a");
          chownSync(at("etc/a"), 54_321, 54_322);
          expect(await inspect(["etc/a"])).toMatchObject([
            { owner: "54321", group: "54322", uid: 54_321, gid: 54_322 },
          ]);
        });

      if (!isRoot)
        test("a file that cannot be read has no checksum, and one that cannot be seen is not missing", async () => {
          put("etc/a", "a");
          chmodSync(at("etc/a"), 0);
          expect(await inspect(["etc/a"])).toMatchObject([{ kind: "file", mode: 0, checksum: null }]);
          chmodSync(at("etc"), 0);
          expect(await inspect(["etc/a", "b"])).toEqual([{ kind: "unseen" }, { kind: "missing" }]);
          chmodSync(at("etc"), 0o755);
        });

      test("a host that is down is ConnectRefused, and seen again when it is back", async () => {
        put("a", "a");
        await inspect(["a"]);
        await machine.down();
        await expect(inspect(["a"])).rejects.toMatchObject({ reason: "ConnectRefused" });
        await machine.up();
        expect(await inspect(["a"])).toMatchObject([{ kind: "file" }]);
      });

      test("another host key and a key that the host refuses are said as by a sync", async () => {
        const other = await startFleet({ hosts: 0, kind: "ports" });
        await using stranger = make(other.identityFile);
        await expect(stranger.inspect(host, [{ path: "a" }], within())).rejects.toMatchObject({ reason: "AuthFailed" });
        await other[Symbol.asyncDispose]();
        await machine.changeHostKey();
        await expect(inspect(["a"])).rejects.toMatchObject({ reason: "HostKeyMismatch" });
      });

      test("a host that freezes is SyncTimeout, and connected anew", async () => {
        await inspect(["a"]);
        await machine.freeze();
        await expect(inspect(["a"], within(1000))).rejects.toMatchObject({ reason: "SyncTimeout" });
        await machine.thaw();
        expect(await inspect(["a"])).toEqual([{ kind: "missing" }]);
      });

      test("a file that is too large is not read; what reads one for too long ends with its connection", async () => {
        run("truncate", ["-s", "300G", join(machine.dir, "huge")]);
        put("a", "a");
        const facts = await transport.inspect(
          host,
          [
            { path: "huge", maxSize: 9 },
            { path: "a", maxSize: 9 },
          ],
          within(),
        );
        expect(facts).toMatchObject([
          { kind: "file", checksum: "" },
          { kind: "file", checksum: sha256("a") },
        ]);
        const outcome = expect(inspect(["huge"], within(here(1500)))).rejects.toMatchObject({ reason: "SyncTimeout" });
        await until(() => isReading(machine.dir), 2000, "the host to read");
        await outcome;
        await until(() => !isReading(machine.dir), 10_000, "the host to end what reads");
      });

      test("an abort is Interrupted", async () => {
        await machine.forceCommand(`touch "${at("started").toString()}"; exec sleep 600`);
        const controller = new AbortController();
        const look = inspect(["a"], { timeout: 20_000, signal: controller.signal });
        const outcome = expect(look).rejects.toMatchObject({ reason: "Interrupted" });
        await until(() => existsSync(at("started")), 10_000, "the host to begin");
        controller.abort();
        await outcome;
      });

      test("beyond the time allowed a look is Interrupted", async (context) => {
        await alone();
        if (!transport.allow) return context.skip();
        await machine.forceCommand(`touch "${at("started").toString()}"; exec sleep 600`);
        transport.allow(30_000);
        const outcome = expect(inspect(["a"])).rejects.toMatchObject({ reason: "Interrupted" });
        await until(() => existsSync(at("started")), 10_000, "the host to begin");
        transport.allow(0);
        await outcome;
        await until(() => machine.sessions() === 0, 5000, "the connection to end");
        await expect(inspect(["a"])).rejects.toMatchObject({ reason: "Interrupted" });
      });

      test.each([
        ["says nothing", "true"],
        ["prints a greeting", `echo "Welcome to this host"; exec sh -c "$SSH_ORIGINAL_COMMAND"`],
        ["is cut off", `sh -c "$SSH_ORIGINAL_COMMAND" | head -c 12`],
        ["floods us", "while :; do echo 'flood flood flood flood flood flood flood flood'; done"],
        ["has no sha256sum", `PATH=/nowhere; eval "$SSH_ORIGINAL_COMMAND"`],
      ])("a host that %s is ProtocolError, and nothing is missing there", async (_, command) => {
        put("a", "a");
        await machine.forceCommand(command);
        await expect(inspect(["a"])).rejects.toMatchObject({ reason: "ProtocolError" });
        await expect(transport.read(host, ["a"], { ...within(), limit: 10 })).rejects.toMatchObject({
          reason: "ProtocolError",
        });
      });

      test("reads plain files up to the limit, byte for byte", async () => {
        const bytes = Buffer.from(Array.from({ length: 3000 }, (_, number) => number % 256));
        put("etc/text", "text\n");
        put("etc/empty", "");
        mkdirSync(at("etc"), { recursive: true });
        writeFileSync(at("etc/new\nline"), bytes);
        writeFileSync(at("etc/large"), Buffer.alloc(3001));
        symlinkSync("text", at("etc/link"));
        const paths = ["etc/text", "etc/gone", "etc/empty", "etc/new\nline", "etc/large", "etc/link", "etc"];
        expect(await transport.read(host, paths, { ...within(), limit: 3000 })).toEqual([
          Buffer.from("text\n"),
          null,
          Buffer.alloc(0),
          bytes,
          null,
          null,
          null,
        ]);
        expect(await transport.read(host, [], { ...within(), limit: 1 })).toEqual([]);
      });
    });

    describe("replacing", () => {
      test("a file that was edited by hand is kept as it was, and told", async () => {
        put("etc/a", "by hand");
        chmodSync(at("etc/a"), 0o600);
        if (isRoot) chownSync(at("etc/a"), 1, 2);
        const [found, ...others] = (await replaced(replacing(WEB, { "etc/a": "2" }, { "etc/a": ["1", "2"] })))!;
        expect([found!.path, others]).toEqual(["etc/a", []]);
        expect(found!.kept).toMatch(`${machine.root}/var/lib/fssync/replaced/etc/a.`);
        const [file] = readdirSync(at("var/lib/fssync/replaced/etc"));
        expect(file!.slice("a.".length)).toMatch(STAMP);
        expect(found!.kept!.endsWith(`/etc/${file}`)).toBe(true);
        const version = `var/lib/fssync/replaced/etc/${file}`;
        expect([content(version), content("etc/a")]).toEqual(["by hand", "2"]);
        const { mode, uid } = statSync(at(version));
        expect([mode & 0o777, uid]).toEqual([0o600, isRoot ? 1 : process.getuid!()]);
        expect(statSync(at("var/lib/fssync")).mode & 0o777).toBe(0o700);
      });

      test("what is as it was, has what is sent already, is missing, or has another mode only, is not told", async () => {
        put("etc/was", "1");
        put("etc/is", "2");
        put("etc/mode", "1");
        chmodSync(at("etc/mode"), 0o600);
        const names = ["etc/was", "etc/is", "etc/gone", "etc/mode"];
        const files = Object.fromEntries(names.map((each) => [each, "2"]));
        const known = Object.fromEntries(names.map((each) => [each, ["1", "2"]]));
        expect(await replaced(replacing(WEB, files, known))).toBeUndefined();
        expect(names.map(content)).toEqual(["2", "2", "2", "2"]);
        expect(existsSync(at("var"))).toBe(false);
      });

      test("a file that Git dropped and that was edited by hand is kept", async () => {
        put("etc/a", "by hand");
        put("etc/b", "1");
        const known = { "etc/a": ["1"], "etc/b": ["1"] };
        const found = await replaced(replacing(WEB, {}, known, ["etc/a", "etc/b"]));
        expect(found?.map(({ path }) => path)).toEqual(["etc/a"]);
        expect(readdirSync(at("etc"))).toEqual([]);
        expect(readdirSync(at("var/lib/fssync/replaced/etc"))).toHaveLength(1);
      });

      test("a file in the way of a folder is kept before it is cleared", async () => {
        put("etc/a", "by hand");
        const found = await replaced(replacing(WEB, { "etc/a/b": "b" }, { "etc/a": ["1"] }, ["etc/a"]));
        expect(found?.map(({ path }) => path)).toEqual(["etc/a"]);
        expect(content("etc/a/b")).toBe("b");
      });

      test("symlinks go by their target", async () => {
        mkdirSync(at("etc"));
        symlinkSync("old", at("etc/same"));
        symlinkSync("elsewhere", at("etc/other"));
        const files = { "etc/same": { link: "new" }, "etc/other": { link: "new" } };
        const found = await replaced(replacing(WEB, files, { "etc/same": ["old"], "etc/other": ["old", "new"] }));
        expect(found?.map(({ path }) => path)).toEqual(["etc/other"]);
        expect(readlinkSync(join(machine.dir, found![0]!.kept!.slice(machine.root.length)))).toBe("elsewhere");
        expect(readlinkSync(at("etc/other"))).toBe("new");
      });

      test("the last versions are kept, and none when none is asked for", async () => {
        for (const text of ["1", "2", "3", "4"]) {
          put("etc/a", `by hand ${text}`);
          await replaced(replacing(WEB, { "etc/a": "x" }, { "etc/a": ["x"] }), 2);
        }
        const folder = "var/lib/fssync/replaced/etc";
        expect(readdirSync(at(folder)).map((each) => content(`${folder}/${each}`))).toEqual(["by hand 3", "by hand 4"]);
        put("etc/a", "by hand 5");
        expect(await replaced(replacing(WEB, { "etc/a": "x" }, { "etc/a": ["x"] }), 0)).toEqual([{ path: "etc/a" }]);
        expect(readdirSync(at(folder))).toHaveLength(2);
        expect(content("etc/a")).toBe("x");
      });

      test("odd names, in a list that is short and in one that is long", async () => {
        const names = ["etc/new\nline", "etc/back\\slash", "etc/'$(id)'", decodePath(Buffer.of(0x66, 0xff, 0xfe))];
        for (const length of [0, 300]) {
          rmSync(at("etc"), { recursive: true, force: true });
          const others = Array.from({ length }, (_, number) => `etc/app/file-${number}`);
          for (const each of names) put(each, `by hand ${length}`);
          for (const each of others) put(each, "1");
          const all = [...others, ...names];
          const files = Object.fromEntries(all.map((each) => [each, "2"]));
          const known = Object.fromEntries(all.map((each) => [each, ["1", "2"]]));
          const found = await replaced(replacing(WEB, files, known));
          expect(found?.map(({ path }) => path)).toEqual(names);
          for (const { kept } of found!)
            expect(readFileSync(encodePath(join(machine.dir, kept!.slice(machine.root.length))), "utf8")).toBe(
              `by hand ${length}`,
            );
        }
      });

      test("each app is told of its own, also when it fails for another reason", async () => {
        put("etc/web", "by hand");
        put("etc/api", "by hand");
        put("etc/in-the-way/theirs", "theirs");
        const web = replacing(WEB, { "etc/web": "2", "etc/in-the-way": "x" }, { "etc/web": ["1"] });
        const applied = await apply([web, replacing(API, { "etc/api": "2" }, { "etc/api": ["1"] })]);
        expect(applied.outcome.get(WEB)).toMatchObject({ reason: "TargetIsFolder" });
        expect(applied.outcome.get(API)).toBeNull();
        const told = [...applied.replaced].map(([app, found]) => [app, found.map(({ path }) => path)]);
        expect(told).toEqual([
          [WEB, ["etc/web"]],
          [API, ["etc/api"]],
        ]);
      });

      test("files of other owners and modes wait for the guard too", async () => {
        put("etc/a", "by hand");
        put("etc/b", "by hand");
        const files = { "etc/a": { text: "2", mode: 0o600 }, "etc/b": { text: "2", mode: 0o640 } };
        const found = await replaced(replacing(WEB, files, { "etc/a": ["1"], "etc/b": ["1"] }));
        expect(found?.map(({ path }) => path)).toEqual(["etc/a", "etc/b"]);
        expect(readdirSync(at("var/lib/fssync/replaced/etc"))).toHaveLength(2);
      });

      if (isRoot)
        test("after an account that is missing, the guard goes with what is sent then", async () => {
          put("etc/api", "by hand");
          const web = snapshots.app(WEB, { "etc/web": { text: "w", owner: "nosuchuser" } });
          const applied = await apply([web, replacing(API, { "etc/api": "2" }, { "etc/api": ["1"] })]);
          expect(applied.outcome.get(WEB)).toMatchObject({ reason: "InvalidOwner" });
          expect(applied.outcome.get(API)).toBeNull();
          expect(applied.replaced.get(API)?.map(({ path }) => path)).toEqual(["etc/api"]);
          expect(existsSync(at("var/lib/fssync/replaced/etc"))).toBe(true);
        });

      test("what cannot be kept is not overwritten: its app fails, the other one is synced", async () => {
        await alone();
        put("etc/a", "by hand");
        put("etc/b", "1");
        put("var/lib/fssync/replaced", "a file in the way");
        await ready();
        await machine.forceCommand(`HOME=/dev/null; export HOME; eval "$SSH_ORIGINAL_COMMAND"`);
        await transport[Symbol.asyncDispose]();
        transport = make();
        const known = { "etc/a": ["1"] };
        const applied = await apply([replacing(WEB, { "etc/a": "2" }, known), snapshots.app(API, { "etc/b": "2" })]);
        expect(applied.outcome.get(WEB)).toMatchObject({ reason: "PartialTransfer" });
        expect(applied.outcome.get(WEB)?.message).toMatch(/^etc\/a was changed .*drift\.keep: 0 goes without$/);
        expect(applied.outcome.get(API)).toBeNull();
        expect(["etc/a", "etc/b"].map(content)).toEqual(["by hand", "2"]);
        expect(await replaced(replacing(WEB, { "etc/a": "2" }, known), 0)).toEqual([{ path: "etc/a" }]);
        expect(content("etc/a")).toBe("2");
      });

      test("on a full disk nothing is overwritten", async (context) => {
        if (!isRoot) return context.skip();
        mkdirSync(at("var/lib/fssync"), { recursive: true });
        run("mount", ["-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", join(machine.dir, "var/lib/fssync")]);
        try {
          const byHand = "x".repeat(100_000);
          put("etc/a", byHand);
          const applied = await apply([replacing(WEB, { "etc/a": "2" }, { "etc/a": ["1"] })]);
          expect(applied.outcome.get(WEB)).toMatchObject({ reason: "NoSpace" });
          expect(applied.outcome.get(WEB)?.message).toContain("etc/a was changed on the host and could not be kept");
          expect(content("etc/a")).toBe(byHand);
          expect(readdirSync(at("var/lib/fssync/replaced/etc"))).toEqual([]);
        } finally {
          run("umount", [join(machine.dir, "var/lib/fssync")]);
        }
      });

      test("what was kept is told though the sync is ended then", async () => {
        put("etc/a", "by hand");
        const bin = `${machine.dir} slow`;
        mkdirSync(bin);
        const rsync = `#!/bin/sh\ntouch "${bin}/started"\nexec sleep 600\n`;
        writeFileSync(join(bin, "rsync"), rsync, { mode: 0o755 });
        await machine.forceCommand(`PATH="${bin}:$PATH"; export PATH; eval "$SSH_ORIGINAL_COMMAND"`);
        const change = replacing(WEB, { "etc/a": "2" }, { "etc/a": ["1"] });
        const controller = new AbortController();
        const applied = apply([change], 5, { timeout: 20_000, signal: controller.signal });
        await until(() => existsSync(join(bin, "started")), 10_000, "rsync to begin");
        controller.abort();
        const { outcome, replaced: found } = await applied;
        expect(outcome.get(WEB)).toMatchObject({ reason: "Interrupted" });
        expect(found.get(WEB)).toMatchObject([{ path: "etc/a", kept: expect.stringContaining("etc/a.") }]);
      });

      test("what compares for too long ends with its connection", async () => {
        put("etc/a", "");
        run("truncate", ["-s", "300G", join(machine.dir, "etc/a")]);
        const change = replacing(WEB, { "etc/a": "2" }, { "etc/a": ["1"] });
        const applied = apply([change], 5, within(here(4000)));
        await until(() => isReading(machine.dir), 20_000, "the host to read");
        expect((await applied).outcome.get(WEB)).toMatchObject({ reason: "SyncTimeout" });
        await until(() => !isReading(machine.dir), 10_000, "the host to end what reads");
      });

      test("a host without sha256sum is synced without being looked at", async () => {
        put("etc/a", "by hand");
        const bin = `${machine.dir} bin`;
        mkdirSync(bin);
        for (const each of ["sh", "rsync", "xargs", "id", "mkdir", "stat"].filter(hasCommand))
          symlinkSync(run("which", [each]).trim(), join(bin, each));
        await machine.forceCommand(`PATH="${bin}"; export PATH; eval "$SSH_ORIGINAL_COMMAND"`);
        expect(await replaced(replacing(WEB, { "etc/a": "2" }, { "etc/a": ["1"] }))).toBeUndefined();
        expect(content("etc/a")).toBe("2");
      });

      test("a folder is told and stays", async () => {
        put("etc/a/theirs", "theirs");
        const applied = await apply([replacing(WEB, { "etc/a": "2" }, { "etc/a": ["1"] })]);
        expect(applied.outcome.get(WEB)).toMatchObject({ reason: "TargetIsFolder" });
        expect(applied.replaced.get(WEB)).toEqual([{ path: "etc/a" }]);
        expect(lstatSync(at("etc/a")).isDirectory()).toBe(true);
      });
    });
  });
}
