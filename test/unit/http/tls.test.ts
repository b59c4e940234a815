import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectPlainly } from "node:net";
import { connect, type PeerCertificate } from "node:tls";
import { once } from "node:events";
import { Agent, fetch } from "undici";
import { pino } from "pino";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { loadCertificate } from "../../../src/http/certificate-files.ts";
import { selfSigned, type SelfSigned } from "../../support/certificate.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { until } from "../../support/fleet.ts";
import { serve } from "./rig.ts";

test("TLS is served with the certificate that the files hold now, from version 1.2 on", async () => {
  await using stack = new AsyncDisposableStack();
  const [first, second] = [selfSigned({ name: "first" }), selfSigned({ name: "second" })];
  const { certFile: tlsCert, keyFile: tlsKey } = stack.use(await written(first));
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

test("a handshake that does not go on does not keep the server from closing", async () => {
  const { certFile, keyFile, [Symbol.asyncDispose]: remove } = await written(selfSigned());
  const log = pino({ level: "silent" });
  const clock = new ManualClock();
  const tls = (await loadCertificate({ tlsCert: certFile, tlsKey: keyFile }, { clock, log }))!;
  await remove();
  const { server, port } = await serve(() => {}, { tls, clock });
  const socket = connectPlainly(port, "127.0.0.1").on("error", () => {});
  const ended = once(socket, "close");
  await once(socket, "connect");
  socket.write(Buffer.from([22, 3, 1]));
  const taken = async () =>
    (await new Promise<number>((done) => server.server.getConnections((_, n) => done(n)))) === 1;
  await until(taken, 5000, "the connection to be taken");
  const closed = server.close();
  await until(async () => !server.server.listening, 5000, "the server to close");
  clock.advance(5000);
  await Promise.all([closed, ended]);
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

async function written({ cert, key }: SelfSigned): Promise<{ certFile: string; keyFile: string } & AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), "fssync-tls-"));
  const [certFile, keyFile] = [join(dir, "tls.crt"), join(dir, "tls.key")];
  await writeFile(certFile, cert);
  await writeFile(keyFile, key);
  return { certFile, keyFile, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}
