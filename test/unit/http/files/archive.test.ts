import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { archive } from "../../../../src/http/files/archive.ts";
import type { FileEntry } from "../../../../src/model/manifest.ts";
import { decodePath, encodePath } from "../../../../src/model/path.ts";
import { hostShells } from "../../../support/host-shells.ts";

const LATIN1 = decodePath(Buffer.from("etc/caf\xe9.conf", "latin1"));
const LONG = `opt/${"d".repeat(120)}/${"e".repeat(120)}/${"f".repeat(100)}`;
const FILES: Record<string, Partial<FileEntry> & { content: string }> = {
  "etc/a.conf": { content: "a = 1\n" },
  "etc/empty": { content: "" },
  "etc/block": { content: "x".repeat(512) },
  "etc/large": { content: "line of text\n".repeat(20_000), owner: "4294967294", group: "2097152" },
  "etc/key": { content: "secret\n", owner: "nobody", group: "daemon", mode: 0o600, secret: true },
  "etc/ключ ü.conf": { content: "utf-8\n" },
  "etc/two\nlines 'and' \"quotes\"": { content: "odd\n" },
  "-rf": { content: "no option\n" },
  [LATIN1]: { content: "latin-1\n" },
  [LONG]: { content: "long\n", mode: 0o755 },
  "etc/link": { content: "a.conf", kind: "symlink" },
  "etc/long-link": { content: `/${LONG}`, kind: "symlink" },
  [`opt/${"n".repeat(96)}`]: { content: "exactly a hundred\n" },
  [`opt/${"n".repeat(97)}`]: { content: "one more\n" },
};

function entriesOf(files: typeof FILES): FileEntry[] {
  const common = { tree: "t", from: "nginx/prod/web", owner: "root", group: "root", kind: "file" } as const;
  return Object.entries(files).map(([path, entry]) => ({
    ...common,
    path,
    blob: path,
    mode: entry.kind === "symlink" ? 0o777 : 0o644,
    ...entry,
  }));
}

/** Gives contents in pieces of so many bytes. */
function sourceOf(files: typeof FILES, piece: number) {
  return {
    async *read(blobs: Iterable<string>): AsyncGenerator<Buffer, void, undefined> {
      for (const blob of blobs) {
        const content = Buffer.from(files[blob]!.content);
        for (let at = 0; at < content.length; at += piece) yield content.subarray(at, at + piece);
      }
    },
  };
}

async function archiveOf(files: typeof FILES, piece = 1000): Promise<Buffer> {
  const sizes = new Map(Object.entries(files).map(([path, { content }]) => [path, Buffer.byteLength(content)]));
  return await buffer(archive(sourceOf(files, piece), entriesOf(files), sizes));
}

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "fssync-tar-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const place = (path: string) => Buffer.concat([Buffer.from(`${dir}/`), encodePath(path)]);

describe.each(["tar", "busybox"])("%s", (program) => {
  const there = program === "tar" || hostShells().some(({ name }) => name === program);

  test.skipIf(!there)("extracts every name, mode, link and content", async () => {
    const file = join(dir, "a.tar.gz");
    writeFileSync(file, await archiveOf(FILES));
    if (program === "busybox") execFileSync("busybox", ["tar", "-xzf", file, "-C", dir]);
    else execFileSync("tar", ["-xzpf", file, "-C", dir]);
    for (const [path, { content, kind, mode = 0o644 }] of Object.entries(FILES)) {
      if (kind === "symlink") expect(readlinkSync(place(path)), path).toBe(content);
      else {
        expect(readFileSync(place(path), "utf8"), path).toBe(content);
        expect(lstatSync(place(path)).mode & 0o7777, path).toBe(mode);
      }
    }
  });
});

test("the archive names owners and groups, numbers stay numbers, and nothing else is in it", async () => {
  const file = join(dir, "a.tar.gz");
  writeFileSync(file, await archiveOf(FILES));
  const list = execFileSync("tar", ["-tvzf", file, "--quoting-style=escape"], { encoding: "latin1" });
  const lines = list.trimEnd().split("\n");
  expect(lines).toHaveLength(Object.keys(FILES).length);
  expect(lines.find((line) => line.endsWith("etc/key"))).toMatch(/^-rw------- nobody\/daemon +7 1980-01-01/);
  expect(lines.find((line) => line.endsWith("etc/large"))).toContain("4294967294/2097152");
  expect(lines.find((line) => line.includes("etc/link"))).toMatch(/^lrwxrwxrwx root\/root.*etc\/link -> a\.conf$/);
});

test("the same files give the same bytes, however Git's pipe is cut", async () => {
  const sums = new Set<string>();
  for (const piece of [1, 511, 512, 65_536, 1_000_000]) {
    sums.add(
      createHash("sha256")
        .update(await archiveOf(FILES, piece))
        .digest("hex"),
    );
  }
  expect(sums.size).toBe(1);
});

test("an archive of nothing is a tar of nothing", async () => {
  expect(gunzipSync(await archiveOf({}))).toEqual(Buffer.alloc(1024));
});

test("whoever stops taking it ends the reading", async () => {
  let ended = 0;
  const source = {
    async *read(): AsyncGenerator<Buffer, void, undefined> {
      try {
        for (;;) yield Buffer.alloc(65_536, Math.random().toString());
      } finally {
        ended += 1;
      }
    },
  };
  const endless = archive(source, entriesOf({ big: { content: "" } }), new Map([["big", 2 ** 33]]));
  await new Promise((resolve) => endless.once("data", resolve));
  endless.destroy();
  await expect.poll(() => ended).toBe(1);
});

test("trouble while it is read is an error of the stream, not a shorter archive", async () => {
  const source = {
    async *read(): AsyncGenerator<Buffer, void, undefined> {
      yield Buffer.alloc(10);
    },
  };
  const cut = archive(source, entriesOf({ a: { content: "" } }), new Map([["a", 20]]));
  await expect(buffer(cut)).rejects.toThrow("less than the file has");
});
