import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { checkLine, editLines, type LineEdit } from "../../../../src/http/compat/line-edit.ts";

const edit = (before: string, operate: LineEdit["operate"], datas: Record<string, string>) =>
  editLines(Buffer.from(before), { operate, datas: new Map(Object.entries(datas)) }).toString("utf8");

describe("edit", () => {
  it.each<[string, string, Record<string, string>, string]>([
    ["replaces the value of the key", "a=1\nb=2\n", { b: "3" }, "a=1\nb=3\n"],
    ["replaces every line with the key", "a=1\nb=2\na=3\n", { a: "9" }, "a=9\nb=2\na=9\n"],
    [
      "takes a key exactly, not where a line merely holds it",
      "xa=1\na.b=1\na=1\nb=a\n",
      { a: "9" },
      "xa=1\na.b=1\na=9\nb=a\n",
    ],
    ["keeps spaces around key and `=`", "  a  =\t1 \nb=1\n", { a: "9" }, "  a  =\t9\nb=1\n"],
    ["leaves comments alone", "#a=1\n ; a=1\n# a = 1\na=1\n", { a: "9" }, "#a=1\n ; a=1\n# a = 1\na=9\n"],
    ["keeps CRLF", "a=1\r\nb=2\r\n", { a: "9" }, "a=9\r\nb=2\r\n"],
    ["keeps each line's own end", "a=1\r\nb=2\nc=3", { a: "7", b: "8", c: "9" }, "a=7\r\nb=8\nc=9"],
    ["keeps a last line without an end", "a=1\nb=2", { b: "9" }, "a=1\nb=9"],
    ["takes a value with `=`", "a=b=c\n", { a: "d=e" }, "a=d=e\n"],
    ["takes an empty value, before and after", "a=\nb=1\n", { a: "1", b: "" }, "a=1\nb=\n"],
    ["takes keys with spaces in them", "export A=1\nA=1\n", { "export A": "2" }, "export A=2\nA=1\n"],
    ["takes keys and values of every alphabet", "clé=à\nà=1\n", { clé: "ü€", à: "2" }, "clé=ü€\nà=2\n"],
    ["finds the first key behind a byte order mark", "\ufeffa=1\n", { a: "2" }, "\ufeffa=2\n"],
    ["takes what means something in replacements as it is", "a=1\n", { a: "$&$1\\n" }, "a=$&$1\\n\n"],
  ])("%s", (_, before, datas, after) => {
    expect(edit(before, "edit", datas)).toBe(after);
  });

  it("takes a line of a MiB of blanks, or of what nearly is a pair, without stopping all else", () => {
    const long = " ".repeat(1024 * 1024);
    for (const line of [long, `x${long}y`, `${long}=`, `x${long}=1`, `x=${long}y`, `x=${"\r".repeat(1024 * 1024)}y`])
      expect(edit(`a=1\n${line}\n`, "edit", { a: "2" }) === `a=2\n${line}\n`).toBe(true);
  });

  it("refuses a key that no line has, by name, and does nothing", () => {
    expect(() => edit("a=1\n#c=1\n", "edit", { a: "2", b: "2", c: "2" })).toThrow(
      expect.objectContaining({ statusCode: 404, message: "the file has no key b, c" }),
    );
  });
});

describe("add", () => {
  it.each<[string, string, Record<string, string>, string]>([
    ["appends lines in the order given", "a=1\n", { c: "3", b: "2" }, "a=1\nc=3\nb=2\n"],
    ["ends them as the file's lines end", "a=1\r\n", { b: "2" }, "a=1\r\nb=2\r\n"],
    ["ends the last line first, and keeps that the last one has no end", "a=1\nb=2", { c: "3" }, "a=1\nb=2\nc=3"],
    ["does so with CRLF too", "a=1\r\nb=2", { c: "3" }, "a=1\r\nb=2\r\nc=3"],
    ["begins an empty file", "", { a: "1" }, "a=1\n"],
    ["adds a key that is only commented out", "#a=1\n", { a: "1" }, "#a=1\na=1\n"],
    ["does nothing when there is nothing to add", "a=1", {}, "a=1"],
  ])("%s", (_, before, datas, after) => {
    expect(edit(before, "add", datas)).toBe(after);
  });

  it("refuses a key that is there, by name, and does nothing", () => {
    expect(() => edit("a = 1\n", "add", { b: "2", a: "2" })).toThrow(
      expect.objectContaining({ statusCode: 409, message: "the file has already key a" }),
    );
  });
});

describe("del", () => {
  it.each<[string, string, string[], string]>([
    ["removes every line with the key, and leaves no empty one", "a=1\nb=2\na=3\nc=4\n", ["a"], "b=2\nc=4\n"],
    ["takes a key exactly", "xa=1\na=1\n#a=1\nb=a\n", ["a"], "xa=1\n#a=1\nb=a\n"],
    ["removes the last line", "a=1\nb=2", ["b"], "a=1\n"],
    ["leaves an empty file of a file with one line", "a=1\n", ["a"], ""],
    ["is content when the key is not there", "a=1\n", ["b"], "a=1\n"],
  ])("%s", (_, before, keys, after) => {
    expect(edit(before, "del", Object.fromEntries(keys.map((key) => [key, ""])))).toBe(after);
  });
});

test("bytes that are no UTF-8 stay as they are", () => {
  const before = Buffer.from([0xff, 0x3d, 0xa0, 0x0a, 0x61, 0x3d, 0x31, 0x0a]);
  const after = editLines(before, { operate: "edit", datas: new Map([["a", "2"]]) });
  expect(after).toEqual(Buffer.from([0xff, 0x3d, 0xa0, 0x0a, 0x61, 0x3d, 0x32, 0x0a]));
});

test("what is no text is not edited", () => {
  expect(() => edit("a=1\0\n", "edit", { a: "2" })).toThrow(expect.objectContaining({ reason: "NotEditable" }));
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n";
  expect(() => edit(pointer, "add", { a: "2" })).toThrow(expect.objectContaining({ reason: "LfsPointer" }));
});

test("lines with other keys keep every byte, whatever they are", () => {
  const line = fc.string({ unit: "binary", maxLength: 20 }).map((text) => text.replaceAll(/[\n\0]/g, ""));
  const key = fc.stringMatching(/^[a-z]{1,3}$/);
  fc.assert(
    fc.property(fc.array(line, { maxLength: 5 }), key, fc.stringMatching(/^[ -~]{0,9}$/), (lines, name, value) => {
      const others = lines.filter((text) => text.split("=")[0]!.replaceAll(/^[ \t\ufeff]+|[ \t]+$/g, "") !== name);
      const before = [...others, `${name}=0`, ...others].join("\n");
      const after = [...others, `${name}=${value}`, ...others].join("\n");
      expect(edit(before, "edit", { [name]: value })).toBe(after);
      expect(edit(after, "del", { [name]: "" })).toBe(
        others.length > 0 ? `${others.join("\n")}\n${others.join("\n")}` : "",
      );
    }),
  );
});

test("a key and a value are what can be read back as one line", () => {
  for (const [key, value] of [
    ["a", ""],
    ["a.b-c d", " x = y "],
    ["ключ", "\t"],
  ] as const)
    expect(() => checkLine(key, value)).not.toThrow();
  const wrong = [
    ["", "1"],
    ["a=b", "1"],
    ["a\nb", "1"],
    ["a\0", "1"],
    [" a", "1"],
    ["a ", "1"],
    ["a".repeat(257), "1"],
    ["#a", "1"],
    [";a", "1"],
    ["a\tb", "1"],
    ["\ud800", "1"],
    ["a", "1\n2"],
    ["a", "1\r"],
    ["a", "\0"],
    ["a", "\udfff"],
  ] as const;
  for (const [key, value] of wrong)
    expect(() => checkLine(key, value), JSON.stringify([key, value])).toThrow(
      expect.objectContaining({ statusCode: 400 }),
    );
});
