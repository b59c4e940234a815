import { describe, expect, test } from "vitest";
import { comparePaths, decodePath, displayPath, encodePath, parentFolders } from "../../../src/model/path.ts";

describe("paths are bytes", () => {
  test.for(["etc/nginx.conf", "ütf/日本/😀", "\uFFFD is a character too", "#hash;semi 'quote\" \n\t"])(
    "%j stays as it is",
    (path) => {
      expect(decodePath(Buffer.from(path))).toBe(path);
      expect(encodePath(path)).toEqual(Buffer.from(path));
    },
  );

  test.for<[string, number[]]>([
    ["a latin-1 letter", [0x61, 0xe4, 0x62]],
    ["a lone continuation", [0x80]],
    ["a character that is cut off", [0x61, 0xe2, 0x82]],
    ["an overlong slash", [0xc0, 0xaf]],
    ["a surrogate in UTF-8", [0xed, 0xa0, 0x80]],
    ["beyond Unicode", [0xf4, 0x90, 0x80, 0x80]],
    ["valid beside invalid", [0xc3, 0xa4, 0xff, 0xf0, 0x9f, 0x98, 0x80]],
    ["the replacement character beside invalid", [0xef, 0xbf, 0xbd, 0xff]],
  ])("%s comes back byte by byte", ([, bytes]) => {
    expect([...encodePath(decodePath(Buffer.from(bytes)))]).toEqual(bytes);
  });

  test("any bytes come back", () => {
    let seed = 1;
    const next = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648);
    for (let round = 0; round < 2000; round += 1) {
      const bytes = Buffer.from(Array.from({ length: next() % 12 }, () => next() >> 8));
      expect(encodePath(decodePath(bytes)).equals(bytes)).toBe(true);
    }
  });

  test("two names that differ in a byte stay two names", () => {
    expect(decodePath(Buffer.of(0xe4))).not.toBe(decodePath(Buffer.of(0xe5)));
  });
});

test("for people, control characters and undecodable bytes are visible", () => {
  expect(displayPath("a\nb")).toBe("a\\x0ab");
  expect(displayPath("a\\b")).toBe("a\\\\b");
  expect(displayPath(decodePath(Buffer.of(0x61, 0xe4)))).toBe("a\\xe4");
  expect(displayPath("日本 😀")).toBe("日本 😀");
});

test("the folders above a path, nearest first", () => {
  expect(parentFolders("a/b/c")).toEqual(["a/b", "a"]);
  expect(parentFolders("a")).toEqual([]);
  expect(parentFolders("a/b.d/c")).toEqual(["a/b.d", "a"]);
});

test("a folder comes before what lies in it", () => {
  expect(["a/b/c", "a", "a/b"].sort(comparePaths)).toEqual(["a", "a/b", "a/b/c"]);
});
