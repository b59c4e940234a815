import { execFile, execFileSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asFssyncError } from "../../../src/model/errors.ts";
import { hostKey, type Host } from "../../../src/model/host.ts";
import { Access } from "../../../src/transport/builtin/access.ts";
import { FileHostKeys } from "../../../src/transport/builtin/host-keys-file.ts";
import { Handshakes } from "../../../src/transport/builtin/handshakes.ts";
import { Names } from "../../../src/transport/builtin/names.ts";
import { KnownHosts } from "../../../src/transport/builtin/known-hosts.ts";
import { KnownHostsFiles } from "../../../src/transport/builtin/known-hosts-files.ts";
import { openConnection } from "../../../src/transport/builtin/opening.ts";
import { RsyncTransport } from "../../../src/transport/rsync-transport.ts";
import { SshFiles } from "../../../src/transport/ssh-files.ts";
import { realClock } from "../../support/fleet-clock.ts";
import { generateKey, publicKey, startKeyedHost, type KeyedHost } from "../../support/keyed-host.ts";

/** What becomes of a host key; `let in` is to be refused afterwards, as the login has no key that the host takes. */
type Verdict = "let in" | "HostKeyUnknown" | "HostKeyMismatch" | "by OpenSSH";

describe("host keys", () => {
  let dir: string;
  /** Ed25519, ECDSA and RSA. */
  let three: KeyedHost;
  /** The same without Ed25519, as far as clients are told. */
  let two: KeyedHost;
  let strangers: string[];
  let identity: string;
  let count = 0;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "host-keys-"));
    const types = ["ecdsa", "rsa"];
    three = await startKeyedHost({ types });
    const algorithms = "HostKeyAlgorithms ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";
    two = await startKeyedHost({ types, settings: [algorithms] });
    strangers = ["ed25519", "ecdsa", "rsa"].map((type) =>
      publicKey(generateKey(dir, `stranger_${type}`, ["-t", type])),
    );
    identity = readFileSync(generateKey(dir, "nobody", ["-t", "ed25519"]), "utf8");
  });
  afterAll(async () => {
    await three[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  interface Asked {
    readonly hostKeys?: "strict" | "accept-new";
    readonly folder?: string;
  }

  /** Ours. */
  async function builtin(
    knownHosts: string,
    host: Host,
    { hostKeys = "strict", folder }: Asked = {},
  ): Promise<Verdict> {
    const own = folder ?? mkdtempSync(join(dir, `own-${++count}-`));
    const secret = () => Promise.resolve(new Map(Object.entries({ identity, known_hosts: knownHosts })));
    const clock = realClock;
    const files = new SshFiles({ dir: own, secret, hostKeys, connectTimeout: 5000, clock });
    const access = new Access({ files, dir: own, hostKeys, clock, log: pino({ level: "silent" }) });
    await files.refresh();
    await access.refresh();
    if (await access.onlyByOpenSsh(host)) return "by OpenSSH";
    const signal = new AbortController().signal;
    const options = {
      host,
      timeout: 20_000,
      signal,
      names: new Names({ clock }),
      handshakes: new Handshakes(clock),
      check: () => undefined,
      clock,
    };
    const open = () => openConnection({ ...options, hostKeys: access.hostKeys, login: (each) => access.login(each) });
    return access.opened(host, open).then(
      () => expect.unreachable("nobody may log in"),
      (error: unknown) => verdictOf(asFssyncError(error).reason, String(error)),
    );
  }

  /** OpenSSH's, with the configuration that its client gets from us. */
  async function openssh(
    knownHosts: string,
    host: Host,
    { hostKeys = "strict", folder }: Asked = {},
  ): Promise<Verdict> {
    const own = folder ?? mkdtempSync(join(dir, `ssh-${++count}-`));
    const secret = () => Promise.resolve(new Map(Object.entries({ identity, known_hosts: knownHosts })));
    const files = new SshFiles({ dir: own, secret, hostKeys, connectTimeout: 20_000, clock: realClock });
    await files.refresh();
    const args = [
      "-F",
      "ssh_config",
      "-S",
      "none",
      "-p",
      String(host.port),
      "-l",
      host.user,
      "--",
      host.address,
      "true",
    ];
    const said = await new Promise<string>((resolve) => {
      execFile("ssh", args, { cwd: own, encoding: "utf8" }, (_error, _stdout, stderr) => resolve(stderr));
    });
    if (/Permission denied/.test(said)) return "let in";
    if (/REVOKED|has changed/.test(said)) return "HostKeyMismatch";
    return /No .* host key is known/.test(said) ? "HostKeyUnknown" : expect.unreachable(said);
  }

  function verdictOf(reason: string, text: string): Verdict {
    if (reason === "AuthFailed") return "let in";
    return reason === "HostKeyUnknown" || reason === "HostKeyMismatch" ? reason : expect.unreachable(text);
  }

  test.each([
    ["plain names and patterns", () => names(PLAIN)],
    // A host's keys under hashed names are found after a first guess, which makes us look under the name without
    // a port for keys of more types than OpenSSH does.
    ["hashed names", () => names(HASHED)],
  ])("OpenSSH and we judge every known_hosts alike: %s", async (_, namesOf) => {
    const file = fc.tuple(fc.boolean(), fc.array(line(namesOf()), { maxLength: 5 }), fc.boolean());
    const cases = fc.sample(file, { numRuns: 40, seed: 20_261_123 });
    const seen = new Map<Verdict, number>();
    const workers = Array.from({ length: 4 }, async () => {
      for (let next = cases.pop(); next; next = cases.pop()) {
        const [isThree, lines, crlf] = next;
        const { host, keys } = isThree ? three : two;
        const all = [...keys, ...strangers];
        const text = ["# not empty", ...lines.map((each) => each(host, all)), ""].join(crlf ? "\r\n" : "\n");
        const ours = await builtin(text, host);
        seen.set(ours, (seen.get(ours) ?? 0) + 1);
        if (ours !== "by OpenSSH") expect([ours, text]).toEqual([await openssh(text, host), text]);
      }
    });
    await Promise.all(workers);
    // What was compared is not the same verdict over and over.
    expect(seen.get("let in")).toBeGreaterThan(4);
    expect(seen.get("HostKeyMismatch")).toBeGreaterThan(4);
    expect(seen.get("HostKeyUnknown")).toBeGreaterThan(4);
  });

  test.each<[string, Verdict, Line]>([
    [
      "the name without a port, where there is none with it",
      "let in",
      ({ address }, [, ecdsa]) => `${address} ${ecdsa}`,
    ],
    ["the name without a port, with another key", "HostKeyUnknown", ({ address }, keys) => `${address} ${keys[4]}`],
    [
      "a wrong key with a port and the right one without",
      "HostKeyMismatch",
      (host, keys) => `${bracketed(host)} ${keys[3]}\n${host.address} ${keys[1]}`,
    ],
    [
      "types in their order as soon as the best is known, though the host has it not",
      "HostKeyMismatch",
      (host, keys) => `${bracketed(host)} ${keys[0]}\n${bracketed(host)} ${keys[2]}`,
    ],
    ["the type that is known first", "let in", (host, keys) => `${bracketed(host)} ${keys[2]}`],
    ["a key without its padding is none", "HostKeyUnknown", (host, keys) => `${bracketed(host)} ${unpadded(keys[1])}`],
    ["a key that is right and revoked", "HostKeyMismatch", (host, keys) => `* ${keys[1]}\n@revoked * ${keys[1]}`],
  ])("OpenSSH and we judge alike: %s", async (_, verdict, text) => {
    const { host, keys } = two;
    const knownHosts = `${text(host, [...keys, ...strangers])}\n`;
    expect(await openssh(knownHosts, host)).toBe(verdict);
    expect(await builtin(knownHosts, host)).toBe(verdict);
  });

  test("hashed names: a host whose only known key is not the one it shows first is asked for that one", async () => {
    const { host, keys } = three;
    const others = strangers.map((key) => `${hashed("elsewhere")} ${key}`).join("\n");
    for (const key of keys) {
      const text = `${others}\n${hashed(bracketed(host))} ${key}\n`;
      expect(await builtin(text, host)).toBe("let in");
      expect(await openssh(text, host)).toBe("let in");
    }
  });

  test("hosts known only through @cert-authority are left to OpenSSH, also where a key of theirs is outdated", async () => {
    const { host, keys } = three;
    const authority = `@cert-authority * ${strangers[0]}`;
    expect(await builtin(`${authority}\n`, host)).toBe("by OpenSSH");
    expect(await builtin(`${authority}\n${bracketed(host)} ${keys[1]}\n`, host)).toBe("let in");
    const own = mkdtempSync(join(dir, "outdated-"));
    writeFileSync(join(own, "known_hosts"), `${authority}\n${bracketed(host)} ${strangers[1]}\n`);
    const hostKeys = new FileHostKeys({ files: [join(own, "known_hosts")], hostKeys: "strict" });
    const wire = Buffer.from(keys[0]!.split(" ")[1]!, "base64");
    await hostKeys.refresh();
    expect(await hostKeys.onlyByOpenSsh(host)).toBeUndefined();
    await expect(hostKeys.check(host, wire)).rejects.toMatchObject({ reason: "HostKeyMismatch" });
    expect(await hostKeys.onlyByOpenSsh(host)).toBe("known through @cert-authority");
  });

  test("a host with a certificate is reached, by OpenSSH", async () => {
    const authority = generateKey(dir, "authority", ["-t", "ed25519"]);
    const key = generateKey(dir, "certified", ["-t", "ed25519"]);
    execFileSync("ssh-keygen", ["-q", "-s", authority, "-I", "host", "-h", "-n", "127.0.0.1", `${key}.pub`]);
    await using machine = await startKeyedHost({ settings: [`HostKey ${key}`, `HostCertificate ${key}-cert.pub`] });
    writeFileSync(join(machine.dir, "hello"), "hello");
    const secret = new Map([
      ["identity", readFileSync(machine.identityFile, "utf8")],
      ["known_hosts", `@cert-authority [127.0.0.1]:* ${publicKey(authority)}\n`],
    ]);
    const logged: string[] = [];
    const socketDir = mkdtempSync(join(tmpdir(), "s-"));
    using _ = { [Symbol.dispose]: () => rmSync(socketDir, { recursive: true, force: true }) };
    await using transport = new RsyncTransport({
      dir: join(dir, "certified-transport"),
      client: "builtin",
      socketDir,
      secret: () => Promise.resolve(secret),
      hostKeys: "strict",
      sudo: false,
      connectTimeout: 20_000,
      clock: realClock,
      log: pino({ level: "info" }, { write: (line: string) => void logged.push(line) }),
    });
    const options = { timeout: 60_000, signal: new AbortController().signal, limit: 100 };
    for (let again = 0; again < 2; again++)
      expect(String(await transport.read(machine.host, ["hello"], options))).toBe("hello");
    // Once for all hosts and times.
    expect(logged.map((each) => JSON.parse(each))).toEqual([
      expect.objectContaining({ host: machine.host.key, why: "known through @cert-authority" }),
    ]);
  });

  test("a key that is learned is known from then on, to OpenSSH as well, and another one is refused", async () => {
    const folder = mkdtempSync(join(dir, "learn-"));
    const { host, keys } = three;
    const hostKeys = "accept-new";
    expect(await builtin("", host, { hostKeys, folder })).toBe("let in");
    expect(readFileSync(join(folder, "learned_hosts"), "utf8")).toBe(`${bracketed(host)} ${keys[0]}\n`);
    expect(await openssh("", host, { hostKeys, folder })).toBe("let in");
    writeFileSync(join(folder, "learned_hosts"), `${bracketed(host)} ${strangers[0]}\n`);
    expect(await builtin("", host, { hostKeys, folder })).toBe("HostKeyMismatch");
  });

  test("a revoked key is not learned", async () => {
    const folder = mkdtempSync(join(dir, "revoked-"));
    const { host, keys } = three;
    const hostKeys = "accept-new";
    const revoked = `@revoked * ${keys[0]}\n`;
    expect(await builtin(revoked, host, { hostKeys, folder })).toBe("HostKeyMismatch");
    expect(await openssh(revoked, host, { hostKeys, folder })).toBe("HostKeyMismatch");
    expect(existsSync(join(folder, "learned_hosts"))).toBe(false);
  });

  test("many hosts that are learned at once, by us and by ssh, are each a whole line", async () => {
    const folder = mkdtempSync(join(dir, "many-"));
    const file = join(folder, "learned_hosts");
    // Two repos of one user write the same file.
    const both = Array.from({ length: 2 }, () => new FileHostKeys({ files: [file], hostKeys: "accept-new" }));
    const wire = Buffer.from(three.keys[0]!.split(" ")[1]!, "base64");
    const hosts = Array.from({ length: 200 }, (_, index) => `10.0.0.${index}`);
    const learn = (address: string, by: FileHostKeys) =>
      by.check({ key: hostKey(address, 22), address, port: 22, user: "root", root: "/" }, wire);
    await Promise.all([
      ...hosts.flatMap((address) => both.map((by) => learn(address, by))),
      openssh("", three.host, { hostKeys: "accept-new", folder }).then(() =>
        openssh("", two.host, { hostKeys: "accept-new", folder }),
      ),
    ]);
    const lines = readFileSync(file, "utf8").split("\n");
    const ours = lines.filter((each) => each.startsWith("10."));
    expect(ours.toSorted()).toEqual(hosts.map((address) => `${address} ${three.keys[0]}`).toSorted());
    expect(lines.filter((each) => each.startsWith("[127.0.0.1]:"))).toHaveLength(2);
    expect(lines).toHaveLength(hosts.length + 2 + 1);
  });

  test("of two keys that one new host shows at once only one is believed", async () => {
    const file = join(mkdtempSync(join(dir, "race-")), "learned_hosts");
    const both = Array.from({ length: 2 }, () => new FileHostKeys({ files: [file], hostKeys: "accept-new" }));
    const checks = both.map((by, index) =>
      by.check(three.host, Buffer.from(three.keys[index]!.split(" ")[1]!, "base64")),
    );
    const ends = await Promise.allSettled(checks);
    expect(ends.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
  });

  test("a key that cannot be remembered is not believed", async () => {
    const files = new KnownHostsFiles(["/dev/full"]);
    const line = `${bracketed(three.host)} ${three.keys[0]}`;
    await expect(files.append(line, new KnownHosts())).rejects.toMatchObject({ reason: "ControllerNoSpace" });
  });

  function line(name: fc.Arbitrary<Name>): fc.Arbitrary<Line> {
    const marker = fc.oneof(
      { weight: 8, arbitrary: fc.constant("") },
      fc.constantFrom("@revoked ", "@revoked\t", "@cert-authority ", "@revoked @revoked ", "@unknown "),
    );
    return fc
      .tuple(marker, name, fc.nat(5), fc.oneof({ weight: 6, arbitrary: fc.constant("plain") }, damage()), fc.boolean())
      .map(([mark, named, index, how, commented]) => (host: Host, keys: readonly string[]) => {
        const [type = "", base64 = ""] = keys[index]!.split(" ");
        const text = damaged[how]!(`${mark}${named(host)}`, type, base64);
        return commented ? `${text} some comment` : text;
      });
  }

  function damage(): fc.Arbitrary<string> {
    return fc.constantFrom(...Object.keys(damaged));
  }
});

/** A line of known_hosts, for a host, with one of so many keys. */
type Line = (host: Host, keys: readonly string[]) => string;

type Name = (host: Host) => string;

const unpadded = (key = "") => key.replace(/=+$/, "");

const bracketed: Name = ({ address, port }) => `[${address}]:${port}`;

/** Names of the host, of others and of nobody. */
const PLAIN: readonly Name[] = [
  bracketed,
  bracketed,
  bracketed,
  ({ address }) => address,
  ({ address }) => address,
  ({ address }) => `other,${address},another`,
  (host) => `other,${bracketed(host)}`,
  () => "*",
  () => "[127.*",
  () => "127.0.?.1",
  ({ port }) => `[*]:${port}`,
  (host) => `*,!${bracketed(host)}`,
  (host) => `!other,${bracketed(host)}`,
  ({ port }) => `[127.0.0.1]:${String(port).slice(0, -1)}?`,
  () => "other",
  () => "!*",
  () => "128.*",
  ({ address }) => `[${address}]:22`,
];

const HASHED: readonly Name[] = [
  bracketed,
  (host) => hashed(bracketed(host)),
  (host) => hashed(bracketed(host)),
  (host) => hashed(bracketed(host)),
  () => "[127.*",
  () => hashed("other"),
  () => hashed("another"),
  (host) => `${hashed(bracketed(host))},${bracketed(host)}`,
  (host) => hashed(bracketed(host)).slice(0, -3),
  () => "|1|broken",
];

function names(all: readonly Name[]): fc.Arbitrary<Name> {
  return fc.constantFrom(...all);
}

function hashed(name: string): string {
  const salt = randomBytes(20);
  return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
}

const damaged: Record<string, (names: string, type: string, base64: string) => string> = {
  plain: (names, type, base64) => `${names} ${type} ${base64}`,
  tabs: (names, type, base64) => `\t${names}\t${type}\t ${base64}`,
  signature: (names, type, base64) => `${names} ${type.replace("ssh-rsa", "rsa-sha2-512")} ${base64}`,
  "other type": (names, type, base64) => `${names} ${type === "ssh-rsa" ? "ssh-ed25519" : "ssh-rsa"} ${base64}`,
  "no padding": (names, type, base64) => `${names} ${type} ${base64.replace(/=+$/, "")}`,
  short: (names, type, base64) => `${names} ${type} ${base64.slice(0, -4)}`,
  long: (names, type, base64) => `${names} ${type} ${base64.replace(/=*$/, "AAAA")}`,
  "no key": (names, type) => `${names} ${type}`,
  "no type": (names) => names,
  comment: (names, type, base64) => `#${names} ${type} ${base64}`,
  "late comment": (names, type, base64) => `${names} #${type} ${base64}`,
  empty: () => "",
};
