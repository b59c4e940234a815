import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import os, { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { asFssyncError } from "../../../src/model/errors.ts";
import type { Connection } from "../../../src/transport/builtin/connection.ts";
import { Access } from "../../../src/transport/builtin/access.ts";
import { Handshakes } from "../../../src/transport/builtin/handshakes.ts";
import { Names } from "../../../src/transport/builtin/names.ts";
import { openConnection } from "../../../src/transport/builtin/opening.ts";
import { RsyncTransport } from "../../../src/transport/rsync-transport.ts";
import { SshFiles } from "../../../src/transport/ssh-files.ts";
import type { Clock } from "../../../src/ports/clock.ts";
import { until } from "../../support/fleet.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { generateKey, publicKey, startKeyedHost, type KeyedHost } from "../../support/keyed-host.ts";

describe("logins", () => {
  let dir: string;
  let machine: KeyedHost;
  let knownHosts: string;
  let folder: string;
  let count = 0;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "logins-"));
    const authority = generateKey(dir, "authority", ["-t", "ed25519"]);
    machine = await startKeyedHost({ settings: [`TrustedUserCAKeys ${authority}.pub`, "MaxAuthTries 4"] });
    knownHosts = `[${machine.host.address}]:${machine.host.port} ${machine.keys[0]}\n`;
  });
  afterAll(async () => {
    await machine[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(() => {
    folder = join(dir, `own-${++count}`);
    mkdirSync(folder, { mode: 0o700 });
  });
  afterEach(() => vi.unstubAllEnvs());

  /** The file of a new key that the host takes. */
  function welcome(name: string, options: readonly string[], passphrase?: string): string {
    const file = generateKey(folder, name, options, passphrase);
    appendFileSync(join(machine.dir, "authorized_keys"), `${publicKey(file)}\n`);
    return file;
  }

  interface Given {
    readonly secret?: Readonly<Record<string, string>>;
    /** With `.ssh` in it. */
    readonly home?: string;
  }

  /** Logs in; resolves with what was logged, rejects as the client would. */
  async function login({ secret, home }: Given): Promise<string[]> {
    const logged: string[] = [];
    const log = pino({ level: "info" }, { write: (line: string) => void logged.push(line) });
    const clock = realClock;
    const values = secret && (() => Promise.resolve(new Map(Object.entries({ known_hosts: knownHosts, ...secret }))));
    const hostKeys = "strict";
    const files = new SshFiles({ dir: folder, secret: values, hostKeys, connectTimeout: 20_000, clock });
    const access = new Access({ files, dir: folder, hostKeys, home, clock, log });
    await files.refresh();
    await access.refresh();
    if (await access.onlyByOpenSsh(machine.host)) return logged;
    const options = { host: machine.host, hostKeys: access.hostKeys, login: access.login.bind(access), clock };
    const handshakes = new Handshakes(clock);
    const names = new Names({ clock });
    const signal = new AbortController().signal;
    const connection: Connection = await access.opened(machine.host, () =>
      openConnection({ ...options, timeout: 20_000, signal, names, handshakes, check: () => undefined }),
    );
    await connection[Symbol.asyncDispose]();
    return logged;
  }

  async function failure(given: Given) {
    const { reason, message } = await login(given).then(
      () => expect.unreachable("it logged in"),
      (error: unknown) => asFssyncError(error),
    );
    return `${reason}: ${message}`;
  }

  const read = (file: string) => readFileSync(file, "utf8");

  test.each([
    ["Ed25519", ["-t", "ed25519"]],
    ["ECDSA of 256 bits", ["-t", "ecdsa", "-b", "256"]],
    ["ECDSA of 521 bits in PEM", ["-t", "ecdsa", "-b", "521", "-m", "PEM"]],
    ["RSA", ["-t", "rsa", "-b", "2048"]],
    ["RSA in PEM", ["-t", "rsa", "-b", "2048", "-m", "PEM"]],
    ["ECDSA of 384 bits in PKCS 8", ["-t", "ecdsa", "-b", "384", "-m", "PKCS8"]],
  ])("a Secret's identity can be %s, with a passphrase and without", async (_, options) => {
    const open = welcome("open", options);
    expect(await login({ secret: { identity: read(open) } })).toEqual([]);
    const closed = welcome("closed", [...options, ...rounds(options)], "pass phrase");
    expect(await login({ secret: { identity: read(closed), passphrase: "pass phrase" } })).toEqual([]);
    expect(await failure({ secret: { identity: read(closed), passphrase: "another" } })).toBe(
      "SecretInvalid: `identity` of the Secret (ssh.secretRef) cannot be decrypted: the passphrase is wrong",
    );
    expect(await failure({ secret: { identity: read(closed) } })).toBe(
      "SecretInvalid: `identity` of the Secret (ssh.secretRef) is encrypted, and there is no key `passphrase` beside it",
    );
  });

  test("a passphrase stops nothing else, and a wrong one is tried once", async () => {
    const identity = read(generateKey(folder, "slow", ["-t", "ed25519", "-a", "40"], "right"));
    const values = new Map(Object.entries({ identity, passphrase: "wrong", known_hosts: knownHosts }));
    const given = { hostKeys: "strict", clock: realClock } as const;
    const secret = () => Promise.resolve(new Map(values));
    const files = new SshFiles({ dir: folder, secret, connectTimeout: 5000, ...given });
    const access = new Access({ files, dir: folder, log: pino({ level: "silent" }), ...given });
    await files.refresh();
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const first = await durationOf(access.refresh().catch(() => undefined));
    delay.disable();
    expect(delay.max / 1e6).toBeLessThan(Math.max(first / 2, 50));
    for (let again = 0; again < 50; again++) {
      await expect(access.refresh()).rejects.toThrow("the passphrase is wrong");
      files.expire();
      await files.refresh();
    }
    expect(await durationOf(access.refresh().catch(() => undefined))).toBeLessThan(first / 2);
  });

  test("an Ed25519 identity in PKCS 8, as openssl writes it", async () => {
    const file = join(folder, "pkcs8");
    execFileSync("openssl", ["genpkey", "-algorithm", "ed25519", "-out", file]);
    const der = execFileSync("openssl", ["pkey", "-in", file, "-pubout", "-outform", "DER"]);
    const wire = Buffer.concat([Buffer.from("\0\0\0\x0bssh-ed25519\0\0\0 ", "latin1"), der.subarray(-32)]);
    appendFileSync(join(machine.dir, "authorized_keys"), `ssh-ed25519 ${wire.toString("base64")}\n`);
    expect(await login({ secret: { identity: read(file) } })).toEqual([]);
  });

  test("a key that the host does not take is AuthFailed, which names the key and no secret", async () => {
    const file = generateKey(folder, "stranger", ["-t", "ed25519"]);
    const [, fingerprint] = execFileSync("ssh-keygen", ["-lf", file], { encoding: "utf8" }).split(" ");
    const { user, address } = machine.host;
    expect(await failure({ secret: { identity: read(file) } })).toBe(
      `AuthFailed: ${user}@${address}: Permission denied (publickey); tried ED25519 ${fingerprint}`,
    );
  });

  test("RSA logs in with SHA-2, which is all that the host takes", async () => {
    const settings = ["PubkeyAcceptedAlgorithms rsa-sha2-512,rsa-sha2-256"];
    const other = await startKeyedHost({ settings });
    const file = generateKey(folder, "rsa", ["-t", "rsa", "-b", "2048"]);
    appendFileSync(join(other.dir, "authorized_keys"), `${publicKey(file)}\n`);
    const before = [machine, knownHosts] as const;
    machine = other;
    knownHosts = `[${other.host.address}]:${other.host.port} ${other.keys[0]}\n`;
    try {
      expect(await login({ secret: { identity: read(file) } })).toEqual([]);
    } finally {
      [machine, knownHosts] = before;
      await other[Symbol.asyncDispose]();
    }
  });

  test("a certificate makes OpenSSH reach the repo's hosts, which gets it", async () => {
    const file = generateKey(folder, "certified", ["-t", "ed25519"]);
    const { user } = machine.host;
    execFileSync("ssh-keygen", ["-q", "-s", join(dir, "authority"), "-I", "fssync", "-n", user, `${file}.pub`]);
    const secret = { identity: read(file), "identity-cert.pub": read(`${file}-cert.pub`) };
    const [line, ...others] = await login({ secret });
    expect(JSON.parse(line ?? "")).toMatchObject({ why: "the login is by certificate" });
    expect(others).toEqual([]);
    const values = new Map(Object.entries({ ...secret, known_hosts: knownHosts }));
    const { hostKeys, clock } = { hostKeys: "strict", clock: realClock } as const;
    const socketDir = mkdtempSync(join(tmpdir(), "s-"));
    const client = "builtin";
    const transport = new RsyncTransport({
      dir: join(folder, "transport"),
      client,
      socketDir,
      hostKeys,
      sudo: false,
      connectTimeout: 20_000,
      clock,
      secret: () => Promise.resolve(values),
      log: pino({ level: "silent" }),
    });
    writeFileSync(join(machine.dir, "hello"), "hello");
    const options = { timeout: 60_000, signal: new AbortController().signal, limit: 100 };
    expect(String(await transport.read(machine.host, ["hello"], options))).toBe("hello");
    await transport[Symbol.asyncDispose]();
    rmSync(socketDir, { recursive: true, force: true });
  });

  test("a key in a FIDO token is left to OpenSSH", async () => {
    const type = "sk-ssh-ed25519@openssh.com";
    const [line] = await login({ secret: { identity: fidoIdentity(type) } });
    expect(JSON.parse(line ?? "")).toMatchObject({ why: `the identity is of type ${type}` });
  });

  test("a key that needs a passphrase demands the builtin client", async () => {
    const closed = generateKey(folder, "closed", ["-t", "ed25519"], "x");
    const files = async (identity: string) => {
      const values = new Map(Object.entries({ identity: read(identity), known_hosts: knownHosts, passphrase: "x" }));
      const secret = () => Promise.resolve(values);
      const made = new SshFiles({ dir: folder, secret, hostKeys: "strict", connectTimeout: 5000, clock: realClock });
      await made.refresh();
      return made;
    };
    const [needless, needed] = [await files(machine.identityFile), await files(closed)];
    needless.checkForOpenSsh();
    expect(() => needed.checkForOpenSsh()).toThrow(/which only ssh\.client: builtin can use/);
    expect(() => needed.checkForOpenSsh("10.0.0.1 is reached by OpenSSH only (some reason)")).toThrow(
      /^`identity` of the Secret \(ssh\.secretRef\) has a passphrase, which OpenSSH cannot use, and 10\.0\.0\.1 is .*known_hosts$/,
    );
  });

  test("an account without a name is let in by a Secret's key", async () => {
    const nameless = vi.spyOn(os, "userInfo").mockImplementation(() => {
      throw Object.assign(new Error("no such user"), { code: "ENOENT" });
    });
    syncBuiltinESMExports();
    try {
      expect(await login({ secret: { identity: read(machine.identityFile) } })).toEqual([]);
      await expect(login({})).rejects.toThrow("no such user");
    } finally {
      nameless.mockRestore();
      syncBuiltinESMExports();
    }
  });

  test("a connection lasts while its host's key is known, and no longer than the identity that it was made with", async () => {
    const other = `other.example ${publicKey(generateKey(folder, "other", ["-t", "ed25519"]))}\n`;
    const secret = new Map([
      ["identity", read(machine.identityFile)],
      ["known_hosts", knownHosts],
    ]);
    let later = 0;
    let minute: (() => void) | undefined;
    const clock: Clock = {
      ...realClock,
      monotonic: () => realClock.monotonic() + later,
      after(delay, task) {
        if (delay === 60_000) minute = task;
        return realClock.after(delay, task);
      },
    };
    await using transport = new RsyncTransport({
      dir: join(folder, "transport"),
      client: "builtin",
      socketDir: join(folder, "sockets"),
      hostKeys: "strict",
      sudo: false,
      connectTimeout: 20_000,
      clock,
      secret: () => Promise.resolve(new Map(secret)),
      log: pino({ level: "silent" }),
    });
    writeFileSync(join(machine.dir, "hello"), "hello");
    const look = async () => {
      later += 11_000;
      const options = { timeout: 30_000, signal: new AbortController().signal, limit: 100 };
      await transport.read(machine.host, ["hello"], options);
      await until(() => connectionsTo(machine.host.port).length < 2, 10_000, "the connection that is given up to end");
      return connectionsTo(machine.host.port)[0];
    };
    const first = await look();
    expect(first).toBeDefined();
    secret.set("known_hosts", `${other}${knownHosts}`);
    expect(await look()).toBe(first);
    secret.set("known_hosts", `${knownHosts}@revoked * ${machine.keys[0]}\n`);
    await expect(look()).rejects.toMatchObject({ reason: "HostKeyMismatch" });
    secret.set("known_hosts", other);
    await expect(look()).rejects.toMatchObject({ reason: "HostKeyUnknown" });
    secret.set("known_hosts", knownHosts);
    const second = await look();
    expect(second).not.toBe(first);
    secret.set("identity", read(welcome("rotated", ["-t", "ed25519"])));
    expect(await look()).not.toBe(second);
    // Also when nobody needs it.
    secret.set("identity", read(machine.identityFile));
    later += 11_000;
    minute?.();
    await until(() => connectionsTo(machine.host.port).length === 0, 10_000, "the idle connection to end");
  });

  test("a certificate that leaves the Secret leaves the folder, and never a passphrase comes there", async () => {
    const secret = { identity: read(machine.identityFile), passphrase: "x", "identity-cert.pub": "cert" };
    await login({ secret });
    expect(existsSync(join(folder, "identity-cert.pub"))).toBe(true);
    await login({ secret: { identity: secret.identity, passphrase: "x" } });
    expect(existsSync(join(folder, "identity-cert.pub"))).toBe(false);
    expect(existsSync(join(folder, "passphrase"))).toBe(false);
  });

  describe("without a Secret", () => {
    let home: string;
    let agent: ChildProcess | undefined;

    beforeEach(() => {
      home = folder;
      mkdirSync(join(home, ".ssh"), { mode: 0o700 });
      writeFileSync(join(home, ".ssh/known_hosts"), knownHosts);
      vi.stubEnv("SSH_AUTH_SOCK", undefined);
    });
    afterEach(() => {
      agent?.kill();
      agent = undefined;
    });

    /** An agent with these keys. */
    async function startAgent(...keys: string[]): Promise<void> {
      const socket = join(folder, "agent");
      agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
      await until(() => existsSync(socket), 10_000, "the agent to start");
      vi.stubEnv("SSH_AUTH_SOCK", socket);
      for (const key of keys) execFileSync("ssh-add", ["-q", key], { stdio: "ignore" });
    }

    function toHome(file: string, name: string): void {
      copyFileSync(file, join(home, ".ssh", name));
    }

    test("the user's default keys log in", async () => {
      toHome(welcome("mine", ["-t", "ecdsa"]), "id_ecdsa");
      toHome(generateKey(folder, "stranger", ["-t", "rsa", "-b", "2048"]), "id_rsa");
      expect(await login({ home })).toEqual([]);
    });

    test("a key whose passphrase nobody can give is passed over", async () => {
      toHome(generateKey(folder, "closed", ["-t", "ed25519"], "secret"), "id_ed25519");
      expect(await failure({ home })).toContain(
        "there is no key to try; ~/.ssh/id_ed25519 has a passphrase and was not tried",
      );
      toHome(welcome("mine", ["-t", "ecdsa"]), "id_ecdsa");
      expect(await login({ home })).toEqual([]);
    });

    test("the agent's keys log in, of every kind", async () => {
      for (const type of ["ed25519", "ecdsa", "rsa"]) {
        await startAgent(welcome(type, ["-t", type]));
        expect(await login({ home })).toEqual([]);
        agent?.kill();
        rmSync(join(folder, "agent"), { force: true });
      }
    });

    test("a host that takes few tries sees first the keys that the agent has and the user too", async () => {
      const mine = welcome("mine", ["-t", "ed25519"]);
      const others = ["1", "2", "3", "4"].map((name) => generateKey(folder, `other${name}`, ["-t", "ed25519"]));
      await startAgent(...others, mine);
      toHome(mine, "id_ed25519");
      expect(await login({ home })).toEqual([]);
    });

    test("a host that takes few tries sees no key twice", async () => {
      const others = ["ecdsa", "rsa"].map((type) => generateKey(folder, type, ["-t", type]));
      await startAgent(...others);
      others.forEach((file, index) => toHome(file, ["id_ecdsa", "id_rsa"][index]!));
      toHome(welcome("mine", ["-t", "ed25519"]), "id_ed25519");
      expect(await login({ home })).toEqual([]);
    });

    test("too many keys are AuthFailed, which names them", async () => {
      const others = ["1", "2", "3", "4", "5", "6"].map((name) => generateKey(folder, `o${name}`, ["-t", "ed25519"]));
      await startAgent(...others);
      expect(await failure({ home })).toMatch(/^AuthFailed: .*tried (ED25519 SHA256:\S+ \(agent\)(, )?){6}$/);
    });

    test("an agent that is gone is no obstacle, and told when nothing else helps", async () => {
      vi.stubEnv("SSH_AUTH_SOCK", join(folder, "no-agent"));
      expect(await failure({ home })).toContain("the agent of SSH_AUTH_SOCK: Failed to connect to agent");
      toHome(welcome("mine", ["-t", "ed25519"]), "id_ed25519");
      expect(await login({ home })).toEqual([]);
    });

    test("known_hosts2 counts as well", async () => {
      toHome(welcome("mine", ["-t", "ed25519"]), "id_ed25519");
      rmSync(join(home, ".ssh/known_hosts"));
      expect(await failure({ home })).toContain("HostKeyUnknown");
      writeFileSync(join(home, ".ssh/known_hosts2"), knownHosts);
      expect(await login({ home })).toEqual([]);
    });
  });
});

/** This end of connections to a port on this machine. */
function connectionsTo(port: number): string[] {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = readFileSync("/proc/self/net/tcp", "utf8").split("\n").slice(1);
  const fields = lines.map((line) => line.trim().split(/ +/));
  // 01 is ESTABLISHED.
  return fields.filter(([, , to, state]) => to?.endsWith(remote) && state === "01").map(([, from = ""]) => from);
}

async function durationOf(work: Promise<unknown>): Promise<number> {
  const before = performance.now();
  await work;
  return performance.now() - before;
}

/** Few, where the format lets us choose: they only cost time here. */
function rounds(options: readonly string[]): string[] {
  return options.includes("-m") ? [] : ["-a", "1"];
}

/** The head of such a key; its private part is never looked at. */
function fidoIdentity(type: string): string {
  const string = (text: string) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    return Buffer.concat([length, Buffer.from(text, "latin1")]);
  };
  const wire = Buffer.concat([string(type), string("k".repeat(32)), string("ssh:")]).toString("latin1");
  const head = [string("none"), string("none"), string(""), Buffer.from([0, 0, 0, 1]), string(wire), string("private")];
  const base64 = Buffer.concat([Buffer.from("openssh-key-v1\0", "latin1"), ...head]).toString("base64");
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${base64}\n-----END OPENSSH PRIVATE KEY-----\n`;
}
