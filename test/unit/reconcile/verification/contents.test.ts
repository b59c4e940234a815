import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { FssyncError } from "../../../../src/model/errors.ts";
import { Contents } from "../../../../src/reconcile/verification/contents.ts";
import type { AppFinding, FoundFile } from "../../../../src/reconcile/verification/looks.ts";
import { FakeGitSource, FakeTransport } from "../../../support/fakes.ts";
import { makeApp, makeHost } from "../../../support/factories.ts";

const WEB = "nginx/prod/web";
const options = { timeout: 1000, signal: new AbortController().signal };
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** Hosts on which somebody wrote `text` into a file, and what was found there. */
function setUp(budget?: number) {
  const source = new FakeGitSource();
  const transport = new FakeTransport();
  const contents = new Contents({ source, transport, ...(budget !== undefined && { budget }) });
  const edited = (address: string, text: string, { path = "a", checksum = sha256(text), mode = 0o644 } = {}) => {
    const host = makeHost(address);
    transport.contents.set(`${host.key} ${path}`, Buffer.from(text));
    const [entry] = makeApp(WEB, { [path]: "1" }).manifest;
    const fact = { kind: "file", mode, checksum, owner: "root", group: "root", uid: 0, gid: 0 } as const;
    const file: FoundFile = { entry: entry!, desired: entry!, change: "content", fact };
    const found = new Map<typeof WEB, AppFinding>([[WEB, { files: [file], error: null }]]);
    return async () => (await contents.addTo(found, host, options)).get(WEB)!.files[0]!.contents;
  };
  const text = (key: string | undefined) => contents.pairs.get(key!)?.host.toString();
  return { transport, contents, edited, text };
}

describe("contents of changed files", () => {
  test("what many hosts have is read from one of them and kept once", async () => {
    const { transport, contents, edited, text } = setUp();
    const hosts = ["h0", "h1", "h2"].map((address) => edited(address, "by hand"));
    const keys = [...(await Promise.all(hosts.slice(0, 2).map((show) => show()))), await hosts[2]!()];
    expect(new Set(keys).size).toBe(1);
    expect(keys.map(text)).toEqual(Array.from({ length: 3 }, () => "by hand"));
    expect([transport.reads.length, contents.pairs.size]).toEqual([1, 1]);
    expect(text(await edited("h3", "otherwise")())).toBe("otherwise");
  });

  test("no more is kept than the budget allows, nor read once it is used up; the file names what is not there", async () => {
    const { transport, contents, edited, text } = setUp(200);
    const keys = [];
    for (const address of ["h0", "h1", "h2", "h3"]) keys.push(await edited(address, address.padEnd(50, "x"))());
    expect(keys.map((key) => [key === undefined, text(key) === undefined])).toEqual([
      [false, false],
      [false, true],
      [false, true],
      [false, true],
    ]);
    expect([contents.pairs.size, transport.reads.length]).toEqual([1, 2]);
  });

  test("a file that changed since it was looked at is told to no other host's reader", async () => {
    const { edited, text } = setUp();
    const seen = { checksum: sha256("as it was seen") };
    expect(text(await edited("h0", "as it is", seen)())).toBe("as it is");
    expect(text(await edited("h1", "as it was seen")())).toBe("as it was seen");
  });

  test("a file that was too large to be hashed is read on each host", async () => {
    const { edited, text } = setUp();
    expect(text(await edited("h0", "one", { checksum: "" })())).toBe("one");
    expect(text(await edited("h1", "other", { checksum: "" })())).toBe("other");
  });

  test("a host on which others may not read it is shown nothing of, although another one has the same", async () => {
    const { edited } = setUp();
    await edited("h0", "by hand")();
    expect(await edited("h1", "by hand", { mode: 0o600 })()).toBeUndefined();
  });

  test("a host that cannot be read from keeps nobody from reading the same elsewhere", async () => {
    const { transport, edited, text } = setUp();
    const read = transport.read.bind(transport);
    transport.read = () => Promise.reject(new FssyncError("ConnectionLost", "gone"));
    await expect(edited("h0", "by hand")()).rejects.toMatchObject({ reason: "ConnectionLost" });
    transport.read = read;
    expect(text(await edited("h1", "by hand")())).toBe("by hand");
  });
});
