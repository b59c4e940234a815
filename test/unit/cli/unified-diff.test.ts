import { describe, expect, it } from "vitest";
import { unifiedDiff } from "../../../src/cli/unified-diff.ts";
import { here } from "../../support/machine.ts";

function diff(git: string | Buffer, host: string | Buffer, path = "etc/a.conf"): string | null {
  return unifiedDiff({ path, git: Buffer.from(git as string), host: Buffer.from(host as string) });
}

/** Without the two lines of labels. */
function hunks(git: string, host: string): string[] {
  return diff(git, host)!.split("\n").slice(2);
}

const MANY = 64 * 1024;

describe("unifiedDiff", () => {
  it("says what the host has against what Git has, with three lines around", () => {
    const git = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    expect(diff(git, git.replace("5\n", "five\nand a half\n"))).toBe(`--- git/etc/a.conf
+++ host/etc/a.conf
@@ -2,7 +2,8 @@
 2
 3
 4
-5
+five
+and a half
 6
 7
 8
`);
  });

  it.each<[what: string, git: string, host: string, lines: string[]]>([
    ["a file that the host emptied", "a\n", "", ["@@ -1,1 +0,0 @@", "-a", ""]],
    ["a file that is empty in Git", "", "a\n", ["@@ -0,0 +1,1 @@", "+a", ""]],
    [
      "a last newline that only Git has",
      "a\nb\n",
      "a\nb",
      ["@@ -1,2 +1,2 @@", " a", "-b", "+b", "\\ No newline at end of file", ""],
    ],
    [
      "a last newline that only the host has",
      "a",
      "a\n",
      ["@@ -1,1 +1,1 @@", "-a", "\\ No newline at end of file", "+a", ""],
    ],
    [
      "a last newline that none has",
      "a\nb",
      "c\nb",
      ["@@ -1,2 +1,2 @@", "-a", "+c", " b", "\\ No newline at end of file", ""],
    ],
    [
      "two places far apart",
      "a\n1\n2\n3\n4\n5\n6\n7\nb\n",
      "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
      ["@@ -1,4 +1,4 @@", "-a", "+A", " 1", " 2", " 3", "@@ -6,4 +6,4 @@", " 5", " 6", " 7", "-b", "+B", ""],
    ],
    ["carriage returns", "a\n", "a\r\n", ["@@ -1,1 +1,1 @@", "-a", "+a\\x0d", ""]],
    ["a carriage return within a line", "a\n", "b\rc\n", ["@@ -1,1 +1,1 @@", "-a", "+b\\x0dc", ""]],
    ["tabs and letters of the world", "a\n", "\tgrün 😀\n", ["@@ -1,1 +1,1 @@", "-a", "+\tgrün 😀", ""]],
    ["backslashes", "a\n", "\\d+\n", ["@@ -1,1 +1,1 @@", "-a", "+\\d+", ""]],
    [
      "codes for a terminal",
      "a\n",
      "\u001b[2J\u009b31m\u0007\n",
      ["@@ -1,1 +1,1 @@", "-a", "+\\x1b[2J\\x9b31m\\x07", ""],
    ],
    [
      "what turns the direction of text",
      "a\n",
      "\u202ea\u2066\n",
      ["@@ -1,1 +1,1 @@", "-a", "+\\u{202e}a\\u{2066}", ""],
    ],
    [
      "what is not seen",
      "a\n",
      "\ufeffa\u200b\u2028\n",
      ["@@ -1,1 +1,1 @@", "-a", "+\\u{feff}a\\u{200b}\\u{2028}", ""],
    ],
    ["a line that looks like a label", "a\n", "++ b\n", ["@@ -1,1 +1,1 @@", "-a", "+++ b", ""]],
  ])("shows %s", (_what, git, host, lines) => {
    expect(hunks(git, host)).toEqual(lines);
  });

  it("is empty for what is the same", () => {
    expect(diff("a\r\n", "a\r\n")).toBe("");
    expect(diff("", "")).toBe("");
  });

  it.each<[what: string, content: Buffer]>([
    ["a NUL", Buffer.from("a\0b")],
    ["bytes that are no UTF-8", Buffer.from("gr\xfcn", "latin1")],
    ["half a letter", Buffer.from("ü").subarray(0, 1)],
  ])("is null when either holds %s", (_what, content) => {
    expect(diff("a\n", content)).toBeNull();
    expect(diff(content, "a\n")).toBeNull();
  });

  it("shows unusual paths in one line", () => {
    expect(diff("a", "b", "etc/grün\n\udcff.conf")!.split("\n").slice(0, 2)).toEqual([
      "--- git/etc/grün\\x0a\\xff.conf",
      "+++ host/etc/grün\\x0a\\xff.conf",
    ]);
  });

  it("shows many lines that somebody added as lines added", () => {
    const added = Array.from({ length: 5000 }, (_, at) => `+line ${at}`);
    const host = `a\n${added.map((line) => `${line.slice(1)}\n`).join("")}`;
    expect(hunks("a\n", host)).toEqual(["@@ -1,1 +1,5001 @@", " a", ...added, ""]);
  });

  it("sets all lines against all lines where too little is the same", () => {
    const lines = (sign: string, name: string) => Array.from({ length: 2000 }, (_, at) => `${sign}${name} ${at}`);
    const text = (name: string) => lines("", name).join("\n");
    expect(hunks(`${text("git")}\n`, text("host"))).toEqual([
      "@@ -1,2000 +1,2000 @@",
      ...lines("-", "git"),
      ...lines("+", "host"),
      "\\ No newline at end of file",
      "",
    ]);
  });

  it.each<[what: string, git: string, host: string]>([
    ["nothing but lines that differ", lineAfterLine("a"), lineAfterLine("b")],
    ["lines that are the same here and there", alternating(2), alternating(3)],
    ["empty lines", "\n".repeat(MANY), "\n".repeat(MANY / 2)],
    ["one long line", "a".repeat(MANY), "b".repeat(MANY)],
  ])("needs a moment at most for %s", (_what, git, host) => {
    const start = performance.now();
    expect(diff(git, host)).toContain("\n@@ -");
    // Usual: a tenth of it. Without a limit some of them take minutes.
    expect(performance.now() - start).toBeLessThan(here(2000));
  });
});

function lineAfterLine(text: string): string {
  return `${text}\n`.repeat(MANY / (text.length + 1));
}

function alternating(every: number): string {
  return Array.from({ length: MANY / 2 }, (_, at) => (at % every === 0 ? "x\n" : "y\n")).join("");
}
