import { describe, expect, it } from "vitest";
import { explain, firstUsefulLine, GitFailure, saysDamage } from "../../../src/source/git-failure.ts";

const failed = (stderr: string, exitCode: number | null = 128) => new GitFailure("fetch", "exit", exitCode, stderr);

describe("firstUsefulLine", () => {
  it.each([
    [
      "git@example.com: Permission denied (publickey).\r\nfatal: Could not read from remote repository.",
      /^git@.*denied/,
    ],
    ["remote: Counting objects: 10% (1/10)\rremote: Counting objects: 100% (10/10)\nfatal: early EOF", /^fatal: early/],
    ["hint: x\nwarning: y\nfatal: z", /^fatal: z$/],
    ["remote: The project is archived\nfatal: no", /^remote: The project is archived$/],
    ["fatal: unable to access 'https://me:pw@example.com/': no", /'https:\/\/example\.com\/'/],
    ["fatal: \u001b[31mred", /^fatal: \[31mred$/],
    ["", /^$/],
  ])("of %j", (stderr, expected) => {
    expect(firstUsefulLine(stderr)).toMatch(expected);
  });

  it("is bounded", () => {
    expect(firstUsefulLine("x".repeat(10_000))).toHaveLength(300);
  });
});

describe("explain", () => {
  it.each([
    ["fatal: write error: No space left on device", "ControllerNoSpace"],
    ["remote: fatal: No space left on device\nfatal: the remote end hung up", "FetchFailed"],
    ["error: cannot fork() for index-pack: Resource temporarily unavailable", "ControllerExhausted"],
    ["Error: spawn git EMFILE", "ControllerExhausted"],
    ["fatal: could not read Username", "FetchFailed"],
  ])("%j is %s", (stderr, reason) => {
    expect(explain(failed(stderr), "FetchFailed", "Fetching x").reason).toBe(reason);
  });

  it("is no full disk, and no want of memory, because somebody asked for what is called so", () => {
    for (const path of ["a/No space left on device", "a/ENOMEM/b"]) {
      const failure = new GitFailure("ls-tree", "exit", 128, `fatal: ${path} is no path`, [path]);
      expect(explain(failure, "SourceUnavailable", "Reading").reason).toBe("SourceUnavailable");
    }
  });

  it("says what was tried, and how it ended when git said nothing", () => {
    expect(explain(failed("", null), "FetchFailed", "Fetching x").message).toBe("Fetching x: ended by a signal");
    expect(explain(failed("", 1), "FetchFailed", "Fetching x").message).toBe("Fetching x: exit code 1");
  });

  it("tells an abort from a failure", () => {
    expect(explain(new GitFailure("fetch", "aborted", null, "x"), "FetchFailed", "Fetching").reason).toBe(
      "Interrupted",
    );
  });
});

describe("saysDamage", () => {
  it.each([
    "error: inflate: data stream error (incorrect header check)",
    "fatal: loose object 0123 (stored in x) is corrupt",
    "fatal: missing object 0123 for refs/fssync/head",
    "fatal: bad object refs/fssync/head",
    "fatal: not a git repository: 'x'",
  ])("of %j", (stderr) => {
    expect(saysDamage(failed(stderr))).toBe(true);
  });

  it.each([
    ["fatal: Invalid pathspec magic 'bad object' in ':(bad object)x/prod/web'", ":(bad object)x/prod/web"],
    ["error: Invalid path 'a'bad object'/b'\nfatal: done", "a"],
    ["fatal: what is corrupt/b/is corrupt was asked", "corrupt/b/is corrupt"],
  ])("nor of the words of whoever asked: %j", (stderr, path) => {
    const failure = new GitFailure("ls-tree", "exit", 128, stderr, ["", path]);
    expect(saysDamage(failure)).toBe(false);
  });

  it("of what git says beside the words of whoever asked", () => {
    const stderr = "error: inflate: data stream error\nfatal: 'x' is corrupt and 'y'";
    expect(saysDamage(new GitFailure("ls-tree", "exit", 128, stderr, ["x", "y"]))).toBe(true);
  });

  it.each([
    "remote: error: object 0123 is corrupt\nfatal: the remote end hung up unexpectedly",
    "fatal: unable to access 'https://example.com/': Could not resolve host: example.com",
    "fatal: Authentication failed for 'https://example.com/'",
    "fatal: Could not read from remote repository.",
  ])("not of the remote's trouble: %j", (stderr) => {
    expect(saysDamage(failed(stderr))).toBe(false);
  });
});
