import { once } from "node:events";
import { readFileSync } from "node:fs";
import { KeyObject } from "node:crypto";
import { expect, test } from "vitest";
import { keepSessionKeys } from "../../../src/transport/builtin/session-keys.ts";
import { startFleet } from "../../support/fleet.ts";
import { ssh2 } from "../../../src/transport/builtin/ssh2.ts";

interface Inside {
  readonly _protocol: {
    rekey(): void;
    readonly _cipher: { _encKey?: unknown };
    readonly _decipher: { _decipherKey?: unknown };
  };
}

test("the keys of both directions are made once, and the connection works with them, also after they were exchanged again", async () => {
  await using fleet = await startFleet({ hosts: 1, kind: "ports" });
  const { address: host, port } = fleet.hosts[0]!;
  const client = new ssh2.Client();
  keepSessionKeys(client);
  const algorithms = { cipher: ["aes128-gcm@openssh.com" as const] };
  client.connect({ host, port, username: fleet.user, privateKey: readFileSync(fleet.identityFile), algorithms });
  await once(client, "ready");
  for (let round = 1; round <= 2; round += 1) {
    const { _protocol: inside } = client as unknown as Inside;
    for (const key of [inside._cipher._encKey, inside._decipher._decipherKey]) expect(key).toBeInstanceOf(KeyObject);
    expect(await said(client, `echo round ${round}`)).toBe(`round ${round}\n`);
    const exchanged = once(client, "handshake");
    inside.rekey();
    await exchanged;
  }
  client.end();
  await once(client, "close");
});

function said(client: InstanceType<typeof ssh2.Client>, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error) return reject(error);
      let text = "";
      channel.on("data", (chunk: Buffer) => (text += chunk.toString())).once("close", () => resolve(text));
    });
  });
}
