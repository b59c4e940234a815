import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { decodePath, encodePath } from "../../src/model/path.ts";
import type { AppKey } from "../../src/model/app.ts";
import type { Reason } from "../../src/model/errors.ts";
import { hostKey, type Host } from "../../src/model/host.ts";
import type { AppChange, Outcome, Transport } from "../../src/ports/transport.ts";
import { startFleet, until, type Fleet, type FleetHost } from "../support/fleet.ts";
import { Snapshots, type FileSpec } from "../support/fleet-change.ts";
import { SharedMachine } from "../support/shared-machine.ts";

interface TransportOptions {
  readonly dir: string;
  readonly secret: () => Promise<ReadonlyMap<string, string>>;
  readonly hostKeys: "strict" | "accept-new";
  readonly connectTimeout: number;
}

export type TransportFactory = (options: TransportOptions) => Transport;

const isRoot = process.getuid?.() === 0;
const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
/** Tests at most that do something to their host. */
const SPOILED = 24;

/** What every transport promises, on a real sshd with a real rsync. */
export function transportContract(name: string, factory: TransportFactory): void {
  if (!isRoot) console.log(`${name}: tests of ownership and of full disks are skipped, they need root`);

  describe(`${name} keeps the contract of Transport`, () => {
    let fleet: Fleet;
    let shared: { readonly machine: SharedMachine; readonly transport: Transport };
    let machine: FleetHost;
    let host: Host;
    let snapshots: Snapshots;
    let transport: Transport;
    let count = 0;
    const me = { owner: "root", group: "root" };

    beforeAll(async () => {
      fleet = await startFleet({ hosts: SPOILED + 1, kind: "ports" });
      snapshots = new Snapshots(join(fleet.dir, "snap shots"), me);
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

    /** For tests that look at connections, or end the transport: nobody else's are on this host. */
    async function alone() {
      machine = await fleet.add();
      host = asHost(machine);
      transport = make();
    }

    function asHost({ address, port, root }: FleetHost): Host {
      return { key: hostKey(address, port), address, port, user: fleet.user, root };
    }

    function make(options: Partial<TransportOptions> = {}): Transport {
      const secret = () => Promise.resolve(keys());
      const dir = join(fleet.dir, `transport ${++count}`);
      return factory({ dir, secret, hostKeys: "strict", connectTimeout: 5000, ...options });
    }

    function keys(): Map<string, string> {
      return new Map([
        ["identity", readFileSync(fleet.identityFile, "utf8")],
        ["known_hosts", fleet.knownHosts],
      ]);
    }

    interface ApplyOptions {
      readonly emptyFolders?: readonly string[];
      readonly timeout?: number;
      readonly signal?: AbortSignal;
      readonly on?: Host;
      readonly by?: Transport;
    }

    async function apply(apps: readonly AppChange[], options: ApplyOptions = {}): Promise<Outcome> {
      const { emptyFolders = [], timeout = 20_000, signal = new AbortController().signal } = options;
      const by = options.by ?? transport;
      await using prepared = await by.prepare(snapshots.change(apps, emptyFolders));
      return (await by.apply(options.on ?? host, prepared, { timeout, signal })).outcome;
    }

    async function sync(files: Record<string, string | FileSpec>, deletes: string[] = [], options?: ApplyOptions) {
      expectSynced(await apply([snapshots.app(WEB, files, deletes)], options));
    }

    async function fails(files: Record<string, string | FileSpec>, reason: Reason, options?: ApplyOptions) {
      const outcome = await apply([snapshots.app(WEB, files)], options);
      expect(outcome.get(WEB)).toMatchObject({ reason });
      return outcome.get(WEB)!;
    }

    function expectSynced(outcome: Outcome, apps: AppKey[] = [WEB]) {
      expect([...outcome].map(([app, error]) => [app, error && `${error.reason}: ${error.message}`])).toEqual(
        apps.map((app) => [app, null]),
      );
    }

    const at = (path: string) => join(machine.dir, path);
    const read = (path: string) => readFileSync(at(path), "utf8");

    function put(path: string, text: string) {
      mkdirSync(join(at(path), ".."), { recursive: true });
      writeFileSync(at(path), text);
    }

    describe("files", () => {
      test("sends files to a host that has none, with 0755 folders", async () => {
        await sync({ "etc/nginx/nginx.conf": "a\n", "etc/nginx/conf.d/b.conf": "b\n" });
        expect(read("etc/nginx/nginx.conf")).toBe("a\n");
        expect(read("etc/nginx/conf.d/b.conf")).toBe("b\n");
        expect(statSync(at("etc/nginx/conf.d")).mode & 0o7777).toBe(0o755);
      });

      test("changes, deletes and renames", async () => {
        await sync({ "etc/a": "1", "etc/b": "1", "etc/c": "1" });
        await sync({ "etc/a": "2", "etc/new": "1" }, ["etc/b", "etc/c"]);
        expect(readdirSync(at("etc")).toSorted()).toEqual(["a", "new"]);
        expect(read("etc/a")).toBe("2");
      });

      test("deletes what is gone already without an error", async () => {
        put("etc/keep", "");
        await sync({}, ["etc/gone", "no/such/folder/file"]);
        expect(existsSync(at("no"))).toBe(false);
        expect(existsSync(at("etc/keep"))).toBe(true);
      });

      test("leaves files of others alone", async () => {
        put("etc/nginx/theirs.conf", "theirs");
        await sync({ "etc/nginx/ours.conf": "ours" });
        await sync({}, ["etc/nginx/ours.conf"], { emptyFolders: ["etc/nginx"] });
        expect(read("etc/nginx/theirs.conf")).toBe("theirs");
      });

      test("a change of nothing is synced without a connection", async () => {
        const on = { ...host, key: hostKey(host.address, 1), port: 1 };
        expectSynced(await apply([snapshots.app(WEB, {})], { on, timeout: 5000 }));
      });

      test("fault 8: a rename is a delete and a send", async () => {
        await sync({ "etc/old name": "x" });
        await sync({ "etc/new name": "x" }, ["etc/old name"]);
        expect(readdirSync(at("etc"))).toEqual(["new name"]);
      });

      test("fault 9: a folder becomes a file", async () => {
        await sync({ "etc/a/b/c": "c", "etc/a/d": "d" });
        await sync({ "etc/a": "file" }, ["etc/a/b/c", "etc/a/d"]);
        expect(read("etc/a")).toBe("file");
      });

      test("fault 9: a file becomes a folder", async () => {
        await sync({ "etc/a": "file" });
        await sync({ "etc/a/b/c": "c" }, ["etc/a"]);
        expect(read("etc/a/b/c")).toBe("c");
      });

      test("fault 9: a symlink becomes a folder, and what it led to stays", async () => {
        put("real/theirs", "theirs");
        await sync({ "etc/a": { link: "../real" } });
        await sync({ "etc/a/b": "b" }, ["etc/a"]);
        expect(lstatSync(at("etc/a")).isDirectory()).toBe(true);
        expect(readdirSync(at("real"))).toEqual(["theirs"]);
      });

      test("fault 9: a folder that an unfinished sync made a symlink is not cleared through it", async () => {
        put("real/a", "theirs");
        mkdirSync(at("etc"));
        symlinkSync("../real", at("etc/x"));
        await sync({ "etc/x": { link: "../real" } }, ["etc/x/a"]);
        expect([read("real/a"), readlinkSync(at("etc/x"))]).toEqual(["theirs", "../real"]);
      });

      test("fault 9: of a folder and the symlink in its place, whichever is there goes, and nothing behind it", async () => {
        put("real/a", "theirs");
        put("real/y/a", "theirs");
        await sync({ "etc/x": { link: "../real" }, "etc/w/y": { link: "../../real/y" } });
        await sync({}, ["etc/x/a", "etc/x", "etc/w/y/a", "etc/w/y", "etc/w"], { emptyFolders: ["etc/w", "etc/x"] });
        expect([read("real/a"), read("real/y/a")]).toEqual(["theirs", "theirs"]);
        expect(readdirSync(at("etc"))).toEqual([]);
      });

      test("fault 10: odd names arrive unchanged and are deleted again", async () => {
        const names = [
          "new\nline",
          "#hash",
          ";semicolon",
          `quo'te"s`,
          " spaces ",
          "-rf",
          "--delete",
          "$(id)",
          "`id`",
          "*",
          "back\\slash",
          "ünï",
          "~",
          "a:b",
          "!x",
          "...",
        ];
        const files = Object.fromEntries(
          [...names, decodePath(Buffer.from([0x66, 0xff, 0xfe]))].map((each) => [each, each]),
        );
        const deep = Object.fromEntries(names.map((each) => [`${each}/etc/${each}`, "x"]));
        const paths = Object.keys(files);
        await sync(files);
        expect(readdirSync(machine.dir, { encoding: "buffer" }).map(decodePath).toSorted()).toEqual(paths.toSorted());
        expect(
          readFileSync(Buffer.concat([Buffer.from(`${machine.dir}/`), encodePath(paths.at(-1)!)]), "utf8"),
        ).toContain("f");
        await sync(deep, paths);
        for (const path of Object.keys(deep)) expect(read(path)).toBe("x");
        await sync({}, Object.keys(deep), { emptyFolders: names.flatMap((each) => [`${each}/etc`, each]) });
        expect(readdirSync(machine.dir)).toEqual([]);
      });

      test("fault 11: symlinks are sent as symlinks, dangling or not, and replaced", async () => {
        await sync({ "etc/link": { link: "/no/such/file" }, "etc/other": { link: "link" } });
        expect(readlinkSync(at("etc/link"))).toBe("/no/such/file");
        await sync({ "etc/link": { link: "elsewhere" }, "etc/other": "a file now" });
        expect(readlinkSync(at("etc/link"))).toBe("elsewhere");
        expect(lstatSync(at("etc/other")).isFile()).toBe(true);
      });

      test("fault 34: a symlinked parent on the host stays a symlink, for sends and deletes", async () => {
        mkdirSync(at("data/nginx"), { recursive: true });
        mkdirSync(at("etc"));
        symlinkSync("../data/nginx", at("etc/nginx"));
        await sync({ "etc/nginx/a": "a", "etc/nginx/b": "b" });
        await sync({}, ["etc/nginx/b"], { emptyFolders: ["etc/nginx"] });
        expect(readlinkSync(at("etc/nginx"))).toBe("../data/nginx");
        expect(readdirSync(at("data/nginx"))).toEqual(["a"]);
      });

      test("fault 35: a folder with foreign files where a file must go is TargetIsFolder and untouched", async () => {
        put("etc/a/theirs", "theirs");
        await fails({ "etc/a": "file", "etc/b": "b" }, "TargetIsFolder");
        expect(read("etc/a/theirs")).toBe("theirs");
        expect(read("etc/b")).toBe("b");
      });

      test("fault 35: foreign files in a folder that becomes a file are untouched, ours go", async () => {
        await sync({ "etc/a/ours": "ours" });
        put("etc/a/theirs", "theirs");
        const outcome = await apply([snapshots.app(WEB, { "etc/a": "file" }, ["etc/a/ours"])]);
        expect(outcome.get(WEB)).toMatchObject({ reason: "TargetIsFolder" });
        expect(readdirSync(at("etc/a"))).toEqual(["theirs"]);
      });

      test("a path to delete that is a folder by now is not removed with what is in it", async () => {
        put("etc/a/theirs", "theirs");
        put("etc/b", "b");
        await sync({}, ["etc/a", "etc/b"]);
        expect(read("etc/a/theirs")).toBe("theirs");
        expect(existsSync(at("etc/b"))).toBe(false);
      });

      test("fault 38: other bytes with the same size and time are sent", async () => {
        const app = snapshots.app(WEB, { "etc/a": "new" });
        put("etc/a", "old");
        const sent = statSync(join(snapshots.root, app.send[0]!.tree, "etc/a"));
        utimesSync(at("etc/a"), sent.atime, sent.mtime);
        expectSynced(await apply([app]));
        expect(read("etc/a")).toBe("new");
      });

      test("fault 37: a file is replaced, never written in place", async () => {
        put("etc/a", "old");
        const before = statSync(at("etc/a")).ino;
        await sync({ "etc/a": "new" });
        expect(statSync(at("etc/a")).ino).not.toBe(before);
      });

      test("modes are what was asked, whatever the snapshot has", async () => {
        put("etc/d", "d");
        chmodSync(at("etc/d"), 0o777);
        await sync({
          "etc/a": { text: "a", mode: 0o600 },
          "etc/b": { text: "b", mode: 0o755 },
          "etc/c": { text: "c", mode: 0o4750 },
          "etc/d": "d",
        });
        const modes = ["a", "b", "c", "d"].map((each) => (statSync(at(`etc/${each}`)).mode & 0o7777).toString(8));
        expect(modes).toEqual(["600", "755", "4750", "644"]);
      });

      test("folders that are there keep mode, owner and time of their own", async () => {
        mkdirSync(at("etc/app"), { recursive: true });
        chmodSync(machine.dir, 0o711);
        chmodSync(at("etc"), 0o2750);
        chmodSync(at("etc/app"), 0o1777);
        await sync({ "etc/app/a": { text: "a", mode: 0o640 }, top: "t" });
        expect((statSync(machine.dir).mode & 0o7777).toString(8)).toBe("711");
        expect((statSync(at("etc")).mode & 0o7777).toString(8)).toBe("2750");
        expect((statSync(at("etc/app")).mode & 0o7777).toString(8)).toBe("1777");
      });

      test("folders without files are removed, deepest first; others stay", async () => {
        await sync({ "srv/a/b/c/f": "f", "srv/d/f": "f" });
        put("srv/d/theirs", "");
        await sync({}, ["srv/a/b/c/f", "srv/d/f"], { emptyFolders: ["srv/a/b/c", "srv/a/b", "srv/a", "srv/d", "srv"] });
        expect(readdirSync(at("srv"))).toEqual(["d"]);
      });

      test("a root with spaces, quotes and what a shell would expand", async () => {
        const root = join(machine.root, "odd 'root' $(id) \"x\"");
        mkdirSync(root);
        const on = { ...host, root };
        await sync({ "etc/a/f": "f", "etc/b/f": "f" }, [], { on });
        await sync({ "etc/b": "file" }, ["etc/a/f", "etc/b/f"], { on, emptyFolders: ["etc/a"] });
        expect(readdirSync(join(root, "etc"))).toEqual(["b"]);
        expect(readdirSync(machine.dir)).toEqual([basename(root)]);
      });

      test("nothing temporary is left, neither here nor there", async () => {
        await alone();
        await sync({ "etc/a": "a", "etc/b": { text: "b", mode: 0o600 } }, ["etc/c"]);
        expect(readdirSync(at("etc")).toSorted()).toEqual(["a", "b"]);
        expect(readdirSync(join(fleet.dir, `transport ${count}`)).filter((each) => each.startsWith("change"))).toEqual(
          [],
        );
      });

      test("a prepared change goes to many hosts, and is refused after its end", async () => {
        await alone();
        const second = await fleet.add();
        const prepared = await transport.prepare(snapshots.change([snapshots.app(WEB, { "etc/a": "a" })]));
        const options = { timeout: 20_000, signal: new AbortController().signal };
        for (const { outcome } of await Promise.all(
          [host, asHost(second)].map((each) => transport.apply(each, prepared, options)),
        )) {
          expectSynced(outcome);
        }
        expect(readFileSync(join(second.dir, "etc/a"), "utf8")).toBe("a");
        await prepared[Symbol.asyncDispose]();
        expect((await transport.apply(host, prepared, options)).outcome.get(WEB)).toMatchObject({ reason: "Internal" });
      });
    });

    describe.runIf(isRoot)("owners", () => {
      const owned = (path: string) => [statSync(at(path)).uid, statSync(at(path)).gid];

      test("files get the owner and group they are to have, in one change", async () => {
        await sync({
          "etc/a": "a",
          "etc/b": { text: "b", owner: "daemon", group: "bin", mode: 0o640 },
          "etc/c": { text: "c", owner: "bin" },
          "etc/d": { text: "d", group: "daemon" },
          "etc/l": { link: "a", owner: "daemon", group: "daemon" },
        });
        expect(["a", "b", "c", "d"].map((each) => owned(`etc/${each}`))).toEqual([
          [0, 0],
          [1, 2],
          [2, 0],
          [0, 1],
        ]);
        expect(lstatSync(at("etc/l")).uid).toBe(1);
      });

      test("owner, group and mode that somebody changed are mended though the bytes are right", async () => {
        await sync({ "etc/b": { text: "b", owner: "daemon", group: "bin", mode: 0o640 } });
        await sync({ "etc/b": { text: "b", owner: "bin", group: "daemon", mode: 0o600 } });
        expect(owned("etc/b")).toEqual([2, 1]);
        expect(statSync(at("etc/b")).mode & 0o7777).toBe(0o600);
      });

      test.each([
        ["user", { owner: "nosuchuser" }],
        ["group", { group: "nosuchgroup" }],
      ])(
        "fault 12: a %s that the host does not know is InvalidOwner and nobody else gets the file",
        async (kind, who) => {
          const outcome = await apply([
            snapshots.app(WEB, { "etc/a": { text: "a", ...who }, "etc/root": "r" }),
            snapshots.app(API, { "etc/api": "api" }),
          ]);
          expect(outcome.get(WEB)).toMatchObject({
            reason: "InvalidOwner",
            message: `${kind} nosuch${kind} does not exist on the host`,
          });
          expect(outcome.get(API)).toBeNull();
          expect(existsSync(at("etc/a"))).toBe(false);
          expect(read("etc/api")).toBe("api");
        },
      );
    });

    describe("several apps", () => {
      test("two apps go together", async () => {
        expectSynced(await apply([snapshots.app(WEB, { "etc/web": "w" }), snapshots.app(API, { "etc/api": "a" })]), [
          WEB,
          API,
        ]);
        expect([read("etc/web"), read("etc/api")]).toEqual(["w", "a"]);
      });

      test("only the app at fault fails, and its deletes wait", async () => {
        await sync({ "etc/old-web": "", "etc/old-api": "" });
        put("etc/web/theirs", "theirs");
        const outcome = await apply([
          snapshots.app(WEB, { "etc/web": "w" }, ["etc/old-web"]),
          snapshots.app(API, { "etc/api": "a" }, ["etc/old-api"]),
        ]);
        expect(outcome.get(WEB)).toMatchObject({ reason: "TargetIsFolder" });
        expect(outcome.get(API)).toBeNull();
        expect(read("etc/api")).toBe("a");
        expect(existsSync(at("etc/old-web"))).toBe(true);
        expect(existsSync(at("etc/old-api"))).toBe(false);
      });

      test("a file that moves from one app to the other stays", async () => {
        await sync({ "etc/a": "1" });
        expectSynced(await apply([snapshots.app(WEB, {}, ["etc/a"]), snapshots.app(API, { "etc/a": "2" })]), [
          WEB,
          API,
        ]);
        expect(read("etc/a")).toBe("2");
      });

      test("a snapshot that lacks a file fails its app alone", async () => {
        const web = snapshots.app(WEB, { "etc/web": "w" });
        const broken = { ...web, send: web.send.map((file) => ({ ...file, path: "etc/nowhere" })) };
        const outcome = await apply([broken, snapshots.app(API, { "etc/api": "a" })]);
        expect(outcome.get(WEB)).toMatchObject({ reason: "SourceUnavailable" });
        expect(outcome.get(API)).toBeNull();
      });
    });

    describe("hosts that cannot be reached", () => {
      test("a host that is down is ConnectRefused for all apps, and syncs when it is back", async () => {
        await machine.down();
        const outcome = await apply([snapshots.app(WEB, { a: "a" }), snapshots.app(API, { b: "b" })]);
        expect([...outcome.values()].map((error) => error?.reason)).toEqual(["ConnectRefused", "ConnectRefused"]);
        await machine.up();
        await sync({ a: "a" });
      });

      test("a host that restarted between two syncs is not reached over the dead connection", async () => {
        await sync({ a: "1" });
        await machine.down();
        await fails({ a: "2" }, "ConnectRefused");
        await machine.up();
        await sync({ a: "3" });
        expect(read("a")).toBe("3");
      });

      test("fault 26: a host that takes connections and says nothing is ConnectTimeout in time", async () => {
        await machine.freeze();
        const quick = make({ connectTimeout: 1000 });
        const before = performance.now();
        await fails({ a: "a" }, "ConnectTimeout", { by: quick });
        expect(performance.now() - before).toBeLessThan(4000);
        await machine.thaw();
        await quick[Symbol.asyncDispose]();
      });

      test("fault 27: a host that freezes after the login is SyncTimeout, and connected anew", async () => {
        await sync({ a: "1" });
        await machine.freeze();
        await fails({ a: "2" }, "SyncTimeout", { timeout: 1000 });
        await machine.thaw();
        await sync({ a: "3" });
        expect(read("a")).toBe("3");
      });

      test("a name without an address is NameResolutionFailed", async () => {
        const address = "no-such-host.invalid";
        await fails({ a: "a" }, "NameResolutionFailed", {
          on: { ...host, address, key: hostKey(address, 22), port: 22 },
        });
      });

      test("fault 29: another host key is HostKeyMismatch", async () => {
        await machine.changeHostKey();
        await fails({ a: "a" }, "HostKeyMismatch");
        expect(existsSync(at("a"))).toBe(false);
      });

      test("a host key that nobody knows is HostKeyUnknown, unless new ones are accepted", async () => {
        const secret = () => Promise.resolve(keys().set("known_hosts", "other.example.com ssh-ed25519 AAAA\n"));
        const strict = make({ secret });
        await fails({ a: "a" }, "HostKeyUnknown", { by: strict });
        await strict[Symbol.asyncDispose]();
        const learning = make({ secret, hostKeys: "accept-new" });
        await sync({ a: "a" }, [], { by: learning });
        await machine.changeHostKey();
        await fails({ a: "b" }, "HostKeyMismatch", { by: learning });
        await learning[Symbol.asyncDispose]();
      });

      test("fault 30: a key that the host refuses is AuthFailed", async () => {
        const other = await startFleet({ hosts: 0, kind: "ports" });
        const identity = readFileSync(other.identityFile, "utf8");
        const stranger = make({ secret: () => Promise.resolve(keys().set("identity", identity)) });
        await fails({ a: "a" }, "AuthFailed", { by: stranger });
        await stranger[Symbol.asyncDispose]();
        await other[Symbol.asyncDispose]();
      });

      test("a secret without a key, or with a broken one, is SecretInvalid", async () => {
        for (const identity of ["", "not a key\n"]) {
          const poor = make({ secret: () => Promise.resolve(keys().set("identity", identity)) });
          const prepared = await poor.prepare(snapshots.change([snapshots.app(WEB, { a: "a" })]));
          const { outcome } = await poor.apply(host, prepared, { timeout: 9000, signal: new AbortController().signal });
          expect(outcome.get(WEB)).toMatchObject({ reason: "SecretInvalid" });
          await poor[Symbol.asyncDispose]();
        }
      });
    });

    describe("hosts on which it does not work", () => {
      test("fault 31: a login that prints is ProtocolError where that garbles rsync, and does no harm where it does not", async () => {
        await machine.forceCommand(`echo "Welcome to this host, dear friend"; exec sh -c "$SSH_ORIGINAL_COMMAND"`);
        const outcome = await apply([snapshots.app(WEB, { a: "a" })]);
        const error = outcome.get(WEB);
        if (error) expect(error).toMatchObject({ reason: "ProtocolError" });
        expect(existsSync(at("a"))).toBe(!error);
      });

      test("fault 32: a host without rsync is RsyncMissing", async () => {
        await machine.forceCommand(`PATH=/nowhere; eval "$SSH_ORIGINAL_COMMAND"`);
        await fails({ a: "a" }, "RsyncMissing");
      });

      test("fault 36: a receiver that ends with 0 at once is ProtocolError", async () => {
        await machine.forceCommand("true");
        await fails({ a: "a" }, "ProtocolError");
      });

      test("fault 36: a receiver that floods stderr and never ends is ended in time, its output bounded", async () => {
        await machine.forceCommand(`while :; do printf '\\033[31mflood flood flood\\n'; done >&2`);
        const outcome = await apply([snapshots.app(WEB, { a: "a" })], { timeout: 1000 });
        const { reason, message } = outcome.get(WEB)!;
        // Who counts what comes need not wait for the end of the time.
        expect(`${reason}: ${message}`).toMatch(/^(SyncTimeout: did not end within 1s|ProtocolError: .*without end)/);
        expect(message.length).toBeLessThan(2000);
      });

      test("control characters of a host reach nobody", async () => {
        await machine.forceCommand(`printf '\\033]0;title\\007 failed\\n' >&2; exit 9`);
        const error = await fails({ a: "a" }, "ProtocolError");
        // oxlint-disable-next-line no-control-regex
        expect(error.message).not.toMatch(/[\u0000-\u001f]/);
        expect(error.message).toContain("failed");
      });

      test("fault 33: a read-only or immutable file is ReadOnly and stays", async (context) => {
        if (!isRoot) return context.skip();
        const { run } = await import("../support/fleet/processes.ts");
        put("etc/a", "old");
        run("chattr", ["+i", at("etc/a")]);
        try {
          await fails({ "etc/a": "new", "etc/b": "b" }, "ReadOnly");
          expect(read("etc/a")).toBe("old");
          expect(readdirSync(at("etc")).toSorted()).toEqual(["a", "b"]);
        } finally {
          run("chattr", ["-i", at("etc/a")]);
        }
        mkdirSync(at("ro"));
        run("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", at("ro")]);
        try {
          await fails({ "ro/a": "a" }, "ReadOnly");
        } finally {
          run("umount", [at("ro")]);
        }
      });

      test("fault 33: a full disk is NoSpace, the old file stays, the other app succeeds", async (context) => {
        if (!isRoot) return context.skip();
        const { run } = await import("../support/fleet/processes.ts");
        mkdirSync(at("small"));
        run("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", at("small")]);
        try {
          put("small/a", "old");
          const big = snapshots.app(WEB, { "small/a": "x".repeat(300_000) });
          const outcome = await apply([big, snapshots.app(API, { "etc/api": "a" })]);
          expect(outcome.get(WEB)).toMatchObject({ reason: "NoSpace" });
          expect(outcome.get(API)).toBeNull();
          expect(read("small/a")).toBe("old");
          expect(readdirSync(at("small"))).toEqual(["a"]);
        } finally {
          run("umount", [at("small")]);
        }
      });

      if (!isRoot)
        test("a folder that the login may not write in is PermissionDenied", async () => {
          mkdirSync(at("etc"));
          chmodSync(at("etc"), 0o555);
          await fails({ "etc/a": "a" }, "PermissionDenied");
        });

      test("a receiver that cannot delete by list is helped by rm", async () => {
        await sync({ "etc/a": "a", "etc/-b\n'": "b", "etc/d/x": "x" });
        await machine.forceCommand(
          `case "$SSH_ORIGINAL_COMMAND" in *xargs*) exec sh -c "$SSH_ORIGINAL_COMMAND";; *) echo "no such option here at all, sorry"; esac`,
        );
        await sync({}, ["etc/a", "etc/-b\n'", "etc/gone", "gone/too", "etc/d"]);
        expect(readdirSync(at("etc"))).toEqual(["d"]);
        expect(read("etc/d/x")).toBe("x");
      });
    });

    describe("interruptions", () => {
      const big = Buffer.alloc(8_000_000, "0123456789abcdef");

      async function startsSlowly() {
        // Reads the first bytes and then nothing: the sender waits in the middle of the file.
        await machine.forceCommand(`touch "${at("started")}"; exec sleep 600`);
      }

      test("an abort is Interrupted, and nothing is left running", async () => {
        await startsSlowly();
        const controller = new AbortController();
        const outcome = apply([snapshots.app(WEB, { a: "a" })], { signal: controller.signal });
        await until(() => existsSync(at("started")), 10_000, "the receiver to start");
        controller.abort();
        expect((await outcome).get(WEB)).toMatchObject({ reason: "Interrupted" });
        expect(childrenOf(process.pid, "rsync")).toEqual([]);
      });

      test("an abort before the start opens no connection", async () => {
        const outcome = await apply([snapshots.app(WEB, { a: "a" })], { signal: AbortSignal.abort() });
        expect(outcome.get(WEB)).toMatchObject({ reason: "Interrupted" });
        expect(existsSync(at("a"))).toBe(false);
      });

      test("beyond the time allowed nothing runs or begins, until it is allowed again", async (context) => {
        await alone();
        if (!transport.allow) return context.skip();
        const idle = machine;
        machine = await fleet.add();
        try {
          await sync({ a: "old" }, [], { on: asHost(idle) });
          await startsSlowly();
          transport.allow(30_000);
          const options = { on: asHost(machine) };
          const outcome = apply([snapshots.app(WEB, { a: "a" }), snapshots.app(API, { b: "b" })], options);
          await until(() => existsSync(at("started")), 10_000, "the receiver to start");
          transport.allow(100);
          expect([...(await outcome).values()].map((error) => error?.reason)).toEqual(["Interrupted", "Interrupted"]);
          await until(() => machine.sessions() + idle.sessions() === 0, 1000, "the connections to end, idle ones too");
          await machine.forceCommand(undefined);
          await fails({ a: "a" }, "Interrupted", options);
          expect((await apply([snapshots.app(WEB, {})], options)).get(WEB)).toMatchObject({ reason: "Interrupted" });
          expect(existsSync(at("a"))).toBe(false);
          transport.allow(30_000);
          await sync({ a: "a" }, [], options);
          await sync({ a: "new" }, [], { on: asHost(idle) });
        } finally {
          await machine.down();
          machine = idle;
        }
      });

      test("a connection that is cut is ConnectionLost, and the next sync connects anew", async () => {
        await startsSlowly();
        const outcome = apply([snapshots.app(WEB, { a: "a" })]);
        await until(() => existsSync(at("started")), 10_000, "the receiver to start");
        machine.cut();
        expect((await outcome).get(WEB)).toMatchObject({ reason: "ConnectionLost" });
        await machine.forceCommand(undefined);
        await sync({ a: "a" });
      });

      test(
        "fault 41: killed in the middle, applied again, whole and without leftovers",
        { timeout: 90_000 },
        async () => {
          put("etc/big", "old");
          // Nothing can make it shorter: it comes in many parts.
          const long = randomBytes(big.length);
          // A slow line: the receiver gets 16 KiB at a time.
          const part = at(".part");
          await machine.forceCommand(
            `while dd bs=16k count=1 of="${part}" 2>/dev/null && [ -s "${part}" ]; do cat "${part}"; sleep 0.01; done | sh -c "$SSH_ORIGINAL_COMMAND"`,
          );
          const files = { "etc/big": { text: long }, "etc/small": "s" };
          const controller = new AbortController();
          const first = apply([snapshots.app(WEB, files)], { signal: controller.signal });
          const temporary = () => readdirSync(at("etc")).filter((each) => each.startsWith(".big."));
          await until(() => temporary().length > 0, 20_000, "a partial file");
          controller.abort();
          expect((await first).get(WEB)).toMatchObject({ reason: "Interrupted" });
          expect(readFileSync(at("etc/big")).equals(Buffer.from("old"))).toBe(true);
          // One that reads a batch behind such a command has only the time-out of rsync, which looks at it twice a minute.
          await until(() => temporary().length === 0, 75_000, "the receiver to notice");
          await machine.forceCommand(undefined);
          await sync(files);
          expect(readFileSync(at("etc/big")).equals(long)).toBe(true);
          expect(readdirSync(at("etc")).toSorted()).toEqual(["big", "small"]);
        },
      );

      test("after the end no connection and no process is left", async () => {
        await alone();
        await sync({ a: "a" });
        await transport[Symbol.asyncDispose]();
        await until(() => machine.sessions() === 0, 5000, "the connection to end");
      });
    });
  });
}

/** Children of a process by name; what a transport must not leave. */
function childrenOf(parent: number, name: string): string[] {
  return readdirSync("/proc")
    .filter((each) => /^\d+$/.test(each))
    .filter((each) => {
      try {
        const stat = readFileSync(`/proc/${each}/stat`, "latin1");
        return stat.includes(`(${name})`) && Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
      } catch {
        return false;
      }
    });
}
