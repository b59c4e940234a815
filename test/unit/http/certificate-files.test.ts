import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CertificateFiles, loadCertificate, type Certificate } from "../../../src/http/certificate-files.ts";
import { selfSigned, type SelfSigned } from "../../support/certificate.ts";
import { until } from "../../support/fleet.ts";
import { ManualClock } from "../../support/manual-clock.ts";

let dir: string;
let logged: Record<string, unknown>[];
const clock = new ManualClock();
const log = pino({}, { write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>) });

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "fssync-tls-"));
  logged = [];
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const certFile = () => join(dir, "tls.crt");
const keyFile = () => join(dir, "tls.key");

async function put({ cert, key }: Partial<SelfSigned>, into = dir): Promise<void> {
  await mkdir(into, { recursive: true });
  if (cert !== undefined) await writeFile(join(into, "tls.crt"), cert);
  if (key !== undefined) await writeFile(join(into, "tls.key"), key);
}

const load = () => loadCertificate({ tlsCert: certFile(), tlsKey: keyFile() }, { clock, log });

describe("a certificate that cannot be used is refused by name", () => {
  test("one flag without the other", async () => {
    await expect(loadCertificate({ tlsCert: "a" }, { clock, log })).rejects.toThrow(
      "--tls-cert is given, but not --tls-key",
    );
    await expect(loadCertificate({ tlsKey: "a" }, { clock, log })).rejects.toThrow(
      "--tls-key is given, but not --tls-cert",
    );
    expect(await loadCertificate({}, { clock, log })).toBeUndefined();
  });

  test.each([
    ["no certificate file", { key: selfSigned().key }, "--tls-cert DIR/tls.crt: cannot be read: ENOENT"],
    ["no key file", { cert: selfSigned().cert }, "--tls-key DIR/tls.key: cannot be read: ENOENT"],
    ["no certificate in it", { ...selfSigned(), cert: "hello" }, "--tls-cert DIR/tls.crt: holds no certificate"],
    ["no key in it", { ...selfSigned(), key: "hello" }, "--tls-key DIR/tls.key: holds no private key"],
    ["the key of another one", { ...selfSigned(), key: selfSigned().key }, "--tls-key DIR/tls.key: is not the key"],
  ])("%s", async (_, pair, message) => {
    await put(pair);
    await expect(load()).rejects.toMatchObject({
      reason: "InvalidSpec",
      message: expect.stringContaining(message.replace("DIR", dir)),
    });
  });
});

describe("files that change", () => {
  async function followed(): Promise<{ files: CertificateFiles; renewed: Certificate[] } & Disposable> {
    const files = (await load())!;
    const renewed: Certificate[] = [];
    const following = files.follow((certificate) => renewed.push(certificate));
    return { files, renewed, [Symbol.dispose]: () => following[Symbol.dispose]() };
  }

  /** One look, and the wait for the next. */
  async function look(): Promise<void> {
    clock.advance(5000);
    await until(async () => clock.timers === 1, 5000, "the next look to wait");
  }

  test("are read again, and a pair that is as before is none", async () => {
    const [first, second] = [selfSigned(), selfSigned({ until: new Date("2031-02-03T04:05:06Z") })];
    await put(first);
    using rig = await followed();
    await look();
    expect(rig.renewed).toEqual([]);
    await put(second);
    await look();
    expect(rig.renewed).toEqual([{ ...second, expires: Date.parse("2031-02-03T04:05:06Z") }]);
    expect(rig.files.current.cert).toBe(second.cert);
    expect(logged.at(-1)).toMatchObject({ msg: "TLS certificate read again", expires: "2031-02-03T04:05:06.000Z" });
  });

  test("links that move, as Kubernetes moves them, are followed", async () => {
    const second = selfSigned();
    await put(selfSigned(), join(dir, "..1"));
    await put(second, join(dir, "..2"));
    await symlink("..1", join(dir, "..data"));
    await symlink("..data/tls.crt", certFile());
    await symlink("..data/tls.key", keyFile());
    using rig = await followed();
    await symlink("..2", join(dir, "..data_tmp"));
    await rename(join(dir, "..data_tmp"), join(dir, "..data"));
    await look();
    expect(rig.renewed.map(({ cert }) => cert)).toEqual([second.cert]);
  });

  test("a broken pair leaves the old one in force, and is told once", async () => {
    const [first, second] = [selfSigned(), selfSigned()];
    await put(first);
    using rig = await followed();
    await put({ cert: second.cert });
    await look();
    expect(logged).toEqual([]);
    for (let more = 0; more < 3; more++) await look();
    expect(rig.files.current.cert).toBe(first.cert);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toMatchObject({ level: 50, error: expect.stringContaining("is not the key") });
    await put({ key: second.key });
    await look();
    expect(rig.renewed.map(({ cert }) => cert)).toEqual([second.cert]);
  });

  test("are looked at no more when nobody follows", async () => {
    await put(selfSigned());
    const rig = await followed();
    rig[Symbol.dispose]();
    expect(clock.timers).toBe(0);
  });
});

test("a certificate that has expired is used, and said to be", async () => {
  await put(selfSigned({ until: new Date(clock.now() - 1000) }));
  expect(await load()).toBeInstanceOf(CertificateFiles);
  expect(logged).toMatchObject([{ level: 40, msg: "the TLS certificate has expired" }]);
});
