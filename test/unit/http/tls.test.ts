import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type PeerCertificate } from "node:tls";
import { once } from "node:events";
import { Agent, fetch } from "undici";
import { pino } from "pino";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { loadCertificate } from "../../../src/http/certificate-files.ts";
import { selfSigned } from "../../support/certificate.ts";
import { until } from "../../support/fleet.ts";
import { serve } from "./rig.ts";

test("TLS is served with the certificate that the files hold now, from version 1.2 on", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "fssync-tls-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const [tlsCert, tlsKey] = [join(dir, "tls.crt"), join(dir, "tls.key")];
  const [first, second] = [selfSigned({ name: "first" }), selfSigned({ name: "second" })];
  await writeFile(tlsCert, first.cert);
  await writeFile(tlsKey, first.key);
  const tls = (await loadCertificate({ tlsCert, tlsKey }, { clock: systemClock, log: pino({ level: "silent" }) }))!;
  const served = stack.use(await serve(() => {}, { tls }));
  expect(served.url).toMatch(/^https:/);

  const dispatcher = stack.adopt(new Agent({ connect: { ca: [first.cert] } }), (agent) => agent.close());
  expect((await fetch(`${served.url}/healthz`, { dispatcher })).status).toBe(200);

  await expect(shown(served.port, { maxVersion: "TLSv1.1", minVersion: "TLSv1" })).rejects.toThrow();
  expect((await shown(served.port)).subject.CN).toBe("first");

  await writeFile(tlsCert, second.cert);
  await writeFile(tlsKey, second.key);
  await until(async () => (await shown(served.port)).subject.CN === "second", 20_000, "the new certificate");
  // Who was connected stays so.
  expect((await fetch(`${served.url}/healthz`, { dispatcher })).status).toBe(200);
});

async function shown(port: number, versions: object = {}): Promise<PeerCertificate> {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...versions });
  try {
    await once(socket, "secureConnect");
    return socket.getPeerCertificate();
  } finally {
    socket.destroy();
  }
}
