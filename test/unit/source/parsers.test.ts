import { describe, expect, it } from "vitest";
import { parseCheckAttr } from "../../../src/source/attributes.ts";
import { ByteReader } from "../../../src/source/byte-reader.ts";
import { parseListing } from "../../../src/source/ls-tree.ts";
import { parseTreeObject } from "../../../src/source/tree-object.ts";
import { heapInUse } from "../../support/heap.ts";

const ID = "ab".repeat(20);

describe("parseListing", () => {
  it("reads modes, types, ids and paths in the order of git", () => {
    const output = Buffer.from(`040000 tree ${ID}\ta b\u0000100644 blob ${ID}\ta b/c\n\td\0`);
    expect(parseListing(output)).toEqual([
      { mode: "040000", type: "tree", id: ID, path: "a b" },
      { mode: "100644", type: "blob", id: ID, path: "a b/c\n\td" },
    ]);
  });

  it("keeps bytes that are not UTF-8 and the paths beside them", () => {
    const output = Buffer.from(`100644 blob ${ID}\t\xff\x00100644 blob ${ID}\tgr\xc3\xbcn\x00`, "latin1");
    expect(parseListing(output).map(({ path }) => path)).toEqual(["\udcff", "grün"]);
  });

  it("keeps nothing of a listing but the entry that somebody keeps", () => {
    const listing = Buffer.from(`100644 blob ${ID}\tmod/prod/app/etc/application/file.conf\0`.repeat(10_000));
    const before = heapInUse();
    const kept = Array.from({ length: 50 }, () => parseListing(listing)[7]!);
    const grown = heapInUse() - before;
    expect(kept).toHaveLength(50);
    expect(grown, "bytes; 50 listings are 50 MB").toBeLessThan(10_000_000);
  });

  it("finds nothing in nothing", () => {
    expect(parseListing(Buffer.alloc(0))).toEqual([]);
  });
});

describe("parseCheckAttr", () => {
  it("collects the attributes of a path and leaves out what is not said or taken back", () => {
    const output = Buffer.from("a\0owner\0www\0a\0group\0unspecified\0a\0mode\0unset\0b\0owner\0unspecified\0");
    expect(parseCheckAttr(output)).toEqual(new Map([["a", { owner: "www" }]]));
  });

  it("takes values that look like paths and paths that look like values", () => {
    expect(parseCheckAttr(Buffer.from("owner\0owner\0$(id)\0"))).toEqual(new Map([["owner", { owner: "$(id)" }]]));
  });
});

describe("parseTreeObject", () => {
  const id = Buffer.from(ID, "hex");
  const entry = (mode: string, name: string) => Buffer.concat([Buffer.from(`${mode} ${name}\0`), id]);

  it("tells kinds, names and ids", () => {
    const modes = ["40000", "100644", "100664", "100755", "120000", "160000"];
    const content = Buffer.concat(modes.map((mode) => entry(mode, `n ${mode}`)));
    expect(parseTreeObject(content, 20).map(({ kind, name }) => [kind, name])).toEqual([
      ["tree", "n 40000"],
      ["file", "n 100644"],
      ["file", "n 100664"],
      ["executable", "n 100755"],
      ["symlink", "n 120000"],
      ["submodule", "n 160000"],
    ]);
    expect(parseTreeObject(content, 20)[0]!.id).toBe(ID);
  });

  it("refuses a tree that ends early", () => {
    const content = entry("100644", "a");
    expect(parseTreeObject(content, 20)).toHaveLength(1);
    expect(() => parseTreeObject(content.subarray(0, -1), 20)).toThrow("bad tree object");
  });
});

describe("ByteReader", () => {
  async function* chunks(...texts: string[]) {
    for (const text of texts) yield Buffer.from(text);
  }

  it("reads lines and counted bytes across chunks", async () => {
    const reader = new ByteReader(chunks("he", "ad 5\nfi", "v", "e!\nnext\n"));
    expect(await reader.line()).toBe("head 5");
    expect((await reader.bytes(5)).toString()).toBe("five!");
    expect(await reader.line()).toBe("");
    expect(await reader.line()).toBe("next");
    expect(await reader.line()).toBeUndefined();
  });

  it("throws when fewer bytes come than were promised", async () => {
    await expect(new ByteReader(chunks("abc")).bytes(4)).rejects.toThrow("ended early");
  });
});
