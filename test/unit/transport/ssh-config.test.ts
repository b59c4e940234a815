import { describe, expect, test } from "vitest";
import { sshConfig } from "../../../src/transport/ssh-config.ts";

const base = {
  ownKeys: true,
  hostKeys: "strict",
  connectTimeout: 10_000,
  kex: new Set(["curve25519-sha256"]),
} as const;

describe("ssh's configuration", () => {
  test.each([
    "BatchMode yes",
    "StrictHostKeyChecking yes",
    "UserKnownHostsFile known_hosts",
    "GlobalKnownHostsFile /dev/null",
    "UpdateHostKeys no",
    "IdentitiesOnly yes",
    "ForwardAgent no",
    "ForwardX11 no",
    "ClearAllForwardings yes",
    "PermitLocalCommand no",
    "ProxyCommand none",
    "RequestTTY no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "ConnectTimeout 10",
    "ServerAliveInterval 15",
    "ServerAliveCountMax 3",
    "Ciphers ^aes128-gcm@openssh.com",
    "KexAlgorithms ^curve25519-sha256",
  ])("has %s", (line) => {
    expect(sshConfig(base).split("\n")).toContain(line);
  });

  test("never names a key exchange that this ssh does not know", () => {
    expect(sshConfig({ ...base, kex: new Set() })).not.toContain("KexAlgorithms");
    expect(sshConfig({ ...base, kex: new Set(["mlkem768x25519-sha256", "curve25519-sha256"]) })).toContain(
      "KexAlgorithms ^mlkem768x25519-sha256,curve25519-sha256\n",
    );
  });

  test("learned keys go to a file of their own", () => {
    const text = sshConfig({ ...base, hostKeys: "accept-new" });
    expect(text).toContain("StrictHostKeyChecking accept-new\n");
    expect(text).toContain("UserKnownHostsFile learned_hosts known_hosts\n");
  });

  test("without a secret the user's own keys, agent and known hosts are used", () => {
    expect(sshConfig({ ...base, ownKeys: false })).not.toMatch(/Identity|UserKnownHostsFile/);
  });

  test("a connect timeout is at least a second: ssh takes 0 for none", () => {
    expect(sshConfig({ ...base, connectTimeout: 200 })).toContain("ConnectTimeout 1\n");
  });
});
