import { describe, expect, test } from "vitest";
import { SAYS } from "../../../../src/transport/batch/batch-functions.ts";
import { readVerdict } from "../../../../src/transport/batch/verdict.ts";
import { NOTHING, type ProcessResult } from "../../../../src/transport/process.ts";

function ended(exitCode: number | null, stdout: string, stderr = ""): ProcessResult {
  return { ...NOTHING, exitCode, stdout, stderr };
}

test("only the word at the end with an exit code of 0 is a success", () => {
  expect(readVerdict(ended(0, `welcome\n${SAYS} ready\n${SAYS} applied\n`)).hindrance).toBeUndefined();
  for (const result of [
    ended(1, `${SAYS} applied\n`),
    ended(null, `${SAYS} applied\n`),
    ended(0, `x${SAYS} applied\n`),
    ended(0, `${SAYS} applied\n${SAYS} wrong 0\n`),
    ended(0, ""),
  ])
    expect(readVerdict(result).hindrance).toBeDefined();
});

test.each<[string, number | null, string, string, string, string]>([
  ["a program", 1, "lacks stat", "", "the host has no stat", "host"],
  ["a program nobody asked for", 1, "lacks \u001b[31mx", "", "the host lacks a program", "host"],
  ["its head", 1, "lacks head", "", "head on the host reads ahead", "host"],
  ["other files", 1, "conflict content", "", "files are not as last synced", "once"],
  ["a conflict nobody knows", 1, "conflict $(id)", "", "the host is not as expected", "once"],
  ["its rsync", 1, "failed rsync 4 rsync  version 3.0.9  protocol", "", "rsync 3.0.9 cannot read the batch", "host"],
  ["an rsync with an odd version", 1, "failed rsync 1 version <b>", "", "rsync cannot read the batch", "host"],
  ["a broken stream", 1, "failed rsync 12 ", "", "rsync ended with 12 on the host", "surprise"],
  ["a code that is none", 1, "failed rsync 99999999", "", "rsync did not end well on the host", "once"],
  ["a file that stays", 1, "failed rm", "", "a file could not be deleted", "once"],
  ["wrong files", 1, "wrong 0", "", "files were not right after the batch", "surprise"],
  ["its end", null, "ready", "", "the script did not end well", "surprise"],
  ["nothing", 0, "", "", "the host does not run the script", "surprise"],
  ["an account", 97, "", "fssync-no-account user nginx", "an account is missing on the host", "once"],
  ["sudo", 1, "", "sudo: a password is required", "sudo does not allow sh", "host"],
])("a host that tells of %s", (_, exitCode, word, stderr, text, lasts) => {
  const stdout = word === "" ? "" : `${SAYS} ${word}\n`;
  expect(readVerdict(ended(exitCode, stdout, stderr)).hindrance).toMatchObject({ text, lasts });
});

test("a host that ssh did not reach is no host without batches", () => {
  const result = ended(255, "", "ssh: connect to host 10.0.0.1 port 22: Connection refused");
  expect(() => readVerdict(result)).toThrow("Connection refused");
});

describe("files that are wrong", () => {
  test("are told by number, and by nothing else", () => {
    const lines = [
      "file 0 3 missing",
      "file replaced 1 content",
      "file 0 x mode",
      "file 0 1 $(id)",
      "file 0 1 mode more",
    ];
    const { wrong } = readVerdict(ended(1, `${lines.map((line) => `${SAYS} ${line}\n`).join("")}${SAYS} wrong 0\n`));
    expect(wrong).toEqual([
      { list: 0, index: 3, is: "missing" },
      { list: "replaced", index: 1, is: "content" },
    ]);
  });
});
