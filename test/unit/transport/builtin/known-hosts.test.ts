import { execFileSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hostKey, type Host } from "../../../../src/model/host.ts";
import { hostKeyAlgorithms } from "../../../../src/transport/builtin/algorithms.ts";
import { FileHostKeys } from "../../../../src/transport/builtin/host-keys-file.ts";
import { KnownHosts } from "../../../../src/transport/builtin/known-hosts.ts";
import { parsePublicKey } from "../../../../src/transport/builtin/public-key.ts";
import { cpuTimeOf, here } from "../../../support/machine.ts";

const ED25519 = "ssh-ed25519";

describe("a known_hosts file", () => {
  let dir: string;
  let count = 0;

  beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), "known-"))));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const write = (text: string) => {
    const file = join(dir, String(++count));
    writeFileSync(file, text);
    return file;
  };
  const ours = (text: string) => new FileHostKeys({ files: [write(text)], hostKeys: "strict" });

  test.each([
    ["10.0.0.1", 22, "10.0.0.1"],
    ["10.0.0.1", 2222, "[10.0.0.1]:2222"],
    ["WEB-1.Example.com", 22, "web-1.example.com"],
    ["web-1.example.com", 22, "WEB-1.example.COM"],
    ["0:0:0:0:0:0:0:AB", 22, "::ab"],
    ["2001:DB8:0:0:1:0:0:1", 2222, "[2001:db8::1:0:0:1]:2222"],
    ["::ffff:1.2.3.4", 22, "::ffff:1.2.3.4"],
    ["web-1", 2222, "web-1"],
  ])("%s port %d is found as %s", async (address, port, name) => {
    const key = makeKey();
    await ours(`${name} ${ED25519} ${key}\n`).check(asHost(address, port), wire(key));
    await ours(`${hashed(name.toLowerCase())} ${ED25519} ${key}\n`).check(asHost(address, port), wire(key));
  });

  test.each(["0:0:0:0:0:0:0:AB", "2001:DB8:0:0:1:0:0:1", "::ffff:1.2.3.4", "WEB-1.Example.com"])(
    "%s has the name that ssh gives it",
    async (address) => {
      const said = execFileSync("ssh", ["-F", "none", "-G", address], { encoding: "utf8", stdio: "pipe" });
      const name = /^hostname (.*)$/m.exec(said)?.[1];
      const key = makeKey();
      await ours(`${name} ${ED25519} ${key}\n`).check(asHost(address, 22), wire(key));
    },
  );

  test.each([
    ["10.0.0.1", 22, "[10.0.0.1]:2222"],
    ["10.0.0.1", 22, "10.0.0.11"],
    ["10.0.0.1", 2222, "[10.0.0.1]:22"],
    ["web-1", 22, "web-?-1"],
    ["web-1", 22, "web-1?"],
    ["web-1", 22, "web-*2"],
  ])("%s port %d is not %s", async (address, port, name) => {
    const key = makeKey();
    const check = ours(`${name} ${ED25519} ${key}\n`).check(asHost(address, port), wire(key));
    await expect(check).rejects.toMatchObject({ reason: "HostKeyUnknown" });
  });

  test("a refusal names the host and the key that it showed", async () => {
    const key = makeKey();
    const hostKeys = ours(`10.0.0.1 ${ED25519} ${makeKey()}\n@revoked 10.0.0.3 ${ED25519} ${key}\n`);
    const check = (address: string) => hostKeys.check(asHost(address, 22), wire(key));
    const shown = "it showed ED25519 SHA256:";
    await expect(check("10.0.0.1")).rejects.toThrow(`Host key for 10.0.0.1 has changed; ${shown}`);
    await expect(check("10.0.0.2")).rejects.toThrow("No ED25519 host key is known for 10.0.0.2 and you have requested");
    await expect(check("10.0.0.3")).rejects.toThrow(`Host key for 10.0.0.3 was revoked; ${shown}`);
  });

  test("what is written into it by others counts from then on", async () => {
    const [one, other] = [makeKey(), makeKey()];
    const file = write(`web ${ED25519} ${one}\n`);
    const hostKeys = new FileHostKeys({ files: [file], hostKeys: "strict" });
    const host = asHost("web", 22);
    await hostKeys.check(host, wire(one));
    writeFileSync(file, `web ${ED25519} ${other}\n`);
    // As large, in the same millisecond perhaps: the time of change tells.
    utimesSync(file, 1, 1);
    await hostKeys.check(host, wire(other));
    await expect(hostKeys.check(host, wire(one))).rejects.toMatchObject({ reason: "HostKeyMismatch" });
  });

  test("a line that was not written to its end does not spoil the next one", async () => {
    const key = makeKey();
    const file = write(`web ${ED25519} AAAA`);
    const learning = new FileHostKeys({ files: [file], hostKeys: "accept-new" });
    await learning.check(asHost("db", 22), wire(key));
    await new FileHostKeys({ files: [file], hostKeys: "strict" }).check(asHost("db", 22), wire(key));
  });

  test("types that are known for a host come first, in ssh's order; none when the best one is known", () => {
    const all = hostKeyAlgorithms(new Set());
    expect(all.slice(0, 2)).toEqual([ED25519, "ecdsa-sha2-nistp256"]);
    expect(all).not.toContain("ssh-rsa");
    expect(hostKeyAlgorithms(new Set([ED25519, "ssh-rsa"]))).toEqual(all);
    expect(hostKeyAlgorithms(new Set(["ssh-rsa"])).slice(0, 3)).toEqual(["rsa-sha2-512", "rsa-sha2-256", ED25519]);
  });

  test("with 10,000 hosts of three keys each, hashed or not, a known host costs next to nothing", async () => {
    const hosts = Array.from({ length: 10_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    const keys = hosts.map(() => [makeKey(), makeKey(), makeKey()]);
    for (const shown of [(name: string) => name, hashed]) {
      const text = hosts.flatMap((name, at) => keys[at]!.map((key) => `${shown(name)} ${ED25519} ${key}`)).join("\n");
      const known = await KnownHosts.of(text);
      const some = hosts.slice(0, 1000).map((name, at) => ({ name, key: parsePublicKey(ED25519, keys[at]![2]!)! }));
      const cost = cpuTimeOf(() => {
        for (const { name, key } of some) {
          hostKeyAlgorithms(known.types(name));
          expect(known.verdict(name, key)).toBe("known");
        }
      });
      // 0.02 ms each, of which most is the assertion; a look at every hashed line would be 100 ms each.
      expect(cost).toBeLessThan(here(200));
    }
  });
});

function asHost(address: string, port: number): Host {
  return { key: hostKey(address, port), address, port, user: "root", root: "/" };
}

function makeKey(): string {
  return Buffer.concat([Buffer.from("\0\0\0\x0bssh-ed25519\0\0\0 ", "latin1"), randomBytes(32)]).toString("base64");
}

function wire(base64: string): Buffer {
  return Buffer.from(base64, "base64");
}

function hashed(name: string): string {
  const salt = randomBytes(20);
  return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
}
