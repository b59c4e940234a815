import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodePath, encodePath } from "../../../src/model/path.ts";
import { parseInspection } from "../../../src/transport/inspection-answer.ts";
import { INSPECTION_DONE, inspectionCommand, makeInspection } from "../../../src/transport/inspection.ts";
import { Inspector } from "../../../src/transport/inspector.ts";
import { parseReading, readingCommand, readingInput } from "../../../src/transport/reading.ts";
import { hostShells } from "../../support/host-shells.ts";

const sha256 = (text: string | Buffer) => createHash("sha256").update(text).digest("hex");
const SUM = sha256("x");
const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;
const me = { uid: 0, gid: 0, owner: "root", group: "root" };
const file = { kind: "file", mode: 0o644, checksum: SUM, ...me };

describe("an answer", () => {
  const parts = (stat: string, sums = "", links = "") => `${stat}\0${sums}\0${links}\0\0${INSPECTION_DONE}`;
  const parse = (text: string, names: string[], maxSize = Infinity) =>
    parseInspection(text, { names, maxSizes: names.map(() => maxSize) });

  test("names the files that are there, in the order they were asked for; the others are missing", () => {
    const text = parts("81a4:1:0:0:root:root:./a\n81a4:1:0:0:root:root:./c\n", `${SUM}  ./a\n${SUM}  ./c\n`);
    expect(parse(text, ["./a", "./b", "./c"])).toEqual([file, { kind: "missing" }, file]);
  });

  test("may come in several parts", () => {
    const part = (name: string) => `81a4:1:0:0:root:root:${name}\n\0${SUM}  ${name}\n\0\0\0`;
    expect(parse(`${part("./a")}${part("./b")}${INSPECTION_DONE}`, ["./a", "./b"])).toEqual([file, file]);
  });

  test("has file, symlink, folder and FIFO, and files that cannot be read", () => {
    const stat = ["81a4", "a1ff", "41ed", "11a4", "8180"]
      .map((bits, at) => `${bits}:1:0:0:root:root:./${at}\n`)
      .join("");
    const facts = parse(
      parts(stat, `${SUM}  ./0\n`, "./1\0../x\ny\n\0"),
      [0, 1, 2, 3, 4].map((at) => `./${at}`),
    );
    expect(facts).toEqual([
      file,
      { kind: "symlink", checksum: sha256("../x\ny"), ...me },
      { kind: "other" },
      { kind: "other" },
      { ...file, mode: 0o600, checksum: null },
    ]);
  });

  test("has accounts with spaces and backslashes, and numbers without a name", () => {
    const stat = "89e8:1:70001:70002:CORP\\web user:CORP\\domain users:./a\n81a4:1:7:8:UNKNOWN:UNKNOWN:./b\n";
    expect(parse(parts(stat), ["./a", "./b"])).toMatchObject([
      { uid: 70001, gid: 70002, owner: "CORP\\web user", group: "CORP\\domain users", mode: 0o4750 },
      { owner: "7", group: "8" },
    ]);
  });

  test("of sha256sum may have names escaped or as they are", () => {
    const names = ["./new\nline", "./back\\slash"];
    const stat = names.map((name) => `81a4:1:0:0:root:root:${name}\n`).join("");
    const escaped = `\\${SUM}  ./new\\nline\n\\${SUM}  ./back\\\\slash\n`;
    const plain = names.map((name) => `${SUM}  ${name}\n`).join("");
    expect(parse(parts(stat, escaped), names)).toEqual([file, file]);
    expect(parse(parts(stat, plain), names)).toEqual([file, file]);
  });

  test("does not take a name for another that begins with it and a line end", () => {
    const stat = "81a4:1:0:0:root:root:./a\nb\n";
    expect(parse(parts(stat, `${SUM}  ./a\nb\n`), ["./a", "./a\nb"])).toEqual([{ kind: "missing" }, file]);
  });

  test.each([
    ["nothing", ""],
    ["one that was cut off", "81a4:1:0:0:root:root:./a\n\0"],
    ["a greeting", `Welcome!\n${parts("81a4:1:0:0:root:root:./a\n")}`],
    ["more behind the end", `${parts("")}x`],
    ["a file that nobody asked for", parts("81a4:1:0:0:root:root:./z\n")],
    ["text in the end", `81a4:1:0:0:root:root:./a\n${INSPECTION_DONE}`],
    ["a line that was cut off", parts("81a4:1:0:0:ro")],
    ["a checksum that was cut off", parts("81a4:1:0:0:root:root:./a\n", SUM.slice(5))],
  ])("that is %s is a ProtocolError", (_, text) => {
    expect(() => parse(text, ["./a"])).toThrow(expect.objectContaining({ reason: "ProtocolError" }));
  });

  test("that says it is the same although nothing was known is a ProtocolError", () => {
    const { facts } = new Inspector([{ path: "a" }]).look("/", false);
    expect(() => facts({ stdout: "fssync-same" })).toThrow(expect.objectContaining({ reason: "ProtocolError" }));
  });

  test("under a root that is not there is nothing but its end", () => {
    expect(parse(INSPECTION_DONE, ["./a"])).toEqual([{ kind: "missing" }]);
  });

  test("tells what is missing from what could not be seen, by the name as a whole", () => {
    const text = parts("", "", "").replace(/\0(?=fssync)/, "./b\nc\0./d\0\0");
    expect(parse(text, ["./a", "./b", "./b\nc", "./d"]).map(({ kind }) => kind)).toEqual([
      "missing",
      "missing",
      "unseen",
      "unseen",
    ]);
  });

  test("of a file that is larger than it may be has no checksum, as no content has it", () => {
    const text = parts("81a4:11:0:0:root:root:./a\n81a4:10:0:0:root:root:./b\n", `${SUM}  ./b\n`);
    expect(parse(text, ["./a", "./b"], 10)).toEqual([{ ...file, checksum: "" }, file]);
  });
});

describe.each(hostShells())("the commands, as $name runs them", ({ name: shell, path }) => {
  const program = shell === "busybox" ? join(path, "sh") : shell;
  const env = { PATH: path };
  let dir: string;

  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), "inspect-"))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  function run(command: string, input: Buffer, as?: number): string {
    const { stdout, status, stderr } = spawnSync(program, ["-c", command], {
      input,
      env,
      timeout: 20_000,
      maxBuffer: 2 ** 25,
      ...(isRoot && as !== undefined && { uid: as, gid: as }),
    });
    // bash reads a .bashrc as it does for sshd.
    expect([status, stderr.toString().replace(/^.*bashrc: .*\n/gm, "")]).toEqual([0, ""]);
    return stdout.toString("latin1");
  }

  function inspect(paths: string[], root = dir, maxSize?: number) {
    const inspection = makeInspection(paths.map((path) => ({ path, ...(maxSize !== undefined && { maxSize }) })));
    const answer = run(inspectionCommand(root, false, inspection.maxSize), inspection.input);
    expect(answer.length).toBeLessThan(inspection.limit);
    return parseInspection(answer, inspection);
  }

  const at = (path: string) => Buffer.concat([Buffer.from(`${dir}/`), encodePath(path)]);
  const mine = () => ({ owner: userInfo().username, uid: process.getuid!(), gid: process.getgid!() });

  test("every kind of thing", () => {
    mkdirSync(at("folder"));
    writeFileSync(at("file"), "x", { mode: 0o600 });
    chmodSync(at("file"), 0o4710);
    spawnSync("mkfifo", [join(dir, "fifo")]);
    symlinkSync("fifo", at("link"));
    symlinkSync("two\nlines\n", at("odd link"));
    symlinkSync("folder", at("parent"));
    writeFileSync(at("parent/below"), "x");
    const paths = ["gone", "folder", "file", "fifo", "link", "odd link", "parent/below", "file/below", "gone/below"];
    expect(inspect(paths)).toMatchObject([
      { kind: "missing" },
      { kind: "other" },
      { kind: "file", mode: 0o4710, checksum: SUM, ...mine() },
      { kind: "other" },
      { kind: "symlink", checksum: sha256("fifo"), ...mine() },
      { kind: "symlink", checksum: sha256("two\nlines\n") },
      { kind: "file", checksum: SUM },
      { kind: "missing" },
      { kind: "missing" },
    ]);
  });

  test("odd names", () => {
    const odd = [
      "new\nline",
      "back\\slash",
      "-n",
      "--help",
      "quo'te\"s",
      "$(id)",
      "*",
      "tab\t",
      "cr\r",
      " ",
      "ünï",
      "a:b",
    ];
    const names = [...odd, decodePath(Buffer.from([0x66, 0xff, 0xfe, 0x0a])), "81a4:1:0:0:root:root:.x\n"];
    for (const name of names) writeFileSync(at(name), name);
    expect(inspect(names).map((fact) => fact.kind === "file" && fact.checksum)).toEqual(
      names.map((name) => sha256(name)),
    );
  });

  test("an answer that is known is not said again, one that has changed is", () => {
    const paths = ["a\nb", "gone", "link"];
    writeFileSync(at(paths[0]!), "x");
    symlinkSync("target", at("link"));
    const inspector = new Inspector(paths.map((each) => ({ path: each })));
    const look = (root = dir) => {
      const { command, input, facts } = inspector.look(root, false);
      const answer = { stdout: run(command, input) };
      return { said: answer.stdout.length, facts: facts(answer) };
    };
    const first = look();
    const again = look();
    expect(first.said).toBeGreaterThan(100);
    expect([again.said, again.facts]).toEqual(["fssync-same".length, first.facts]);
    writeFileSync(at("gone"), "y");
    expect(look().facts).toMatchObject([first.facts[0], { kind: "file", checksum: sha256("y") }, first.facts[2]]);
    const missing = { kind: "missing" };
    expect(look(join(dir, "nowhere")).facts).toEqual([missing, missing, missing]);
  });

  test("a file that is larger than it may be is not read", () => {
    writeFileSync(at("small"), "x");
    writeFileSync(at("exact"), "0123456789");
    spawnSync("truncate", ["-s", "300G", join(dir, "huge")]);
    expect(inspect(["small", "huge", "exact"], dir, 10)).toMatchObject([
      { checksum: SUM },
      { kind: "file", checksum: "" },
      { checksum: sha256("0123456789") },
    ]);
  });

  test("what the login may not look at is unseen, however much else is missing", () => {
    chmodSync(dir, 0o755);
    mkdirSync(at("closed/below"), { recursive: true });
    writeFileSync(at("closed/below/a"), "x");
    symlinkSync("closed/below", at("to closed"));
    symlinkSync("nowhere", at("to nowhere"));
    mkdirSync(at("Permission denied"));
    writeFileSync(at("open"), "x");
    chmodSync(at("closed"), 0);
    const gone = Array.from({ length: 1500 }, (_, number) => `gone/${"x".repeat(40)}/${number}`);
    const paths = [...gone, "closed/a", "closed/below/a", "to closed/a", "to nowhere/a", "open", ": Permission denied"];
    const { input, names, maxSizes } = makeInspection(paths.map((each) => ({ path: each })));
    try {
      const answer = run(inspectionCommand(dir, false, Infinity), input, NOBODY);
      const kinds = parseInspection(answer, { names, maxSizes }).map(({ kind }) => kind);
      expect(new Set(kinds.slice(0, gone.length))).toEqual(new Set(["missing"]));
      expect(kinds.slice(gone.length)).toEqual(["unseen", "unseen", "unseen", "missing", "file", "missing"]);
    } finally {
      chmodSync(at("closed"), 0o755);
    }
  });

  test("content that others may not read is not shown", () => {
    for (const mode of [0o600, 0o640, 0o604]) writeFileSync(at(mode.toString(8)), "x", { mode });
    const answer = run(readingCommand(dir, false, 9), readingInput(["600", "640", "604"]));
    expect(parseReading(answer, 3, 9)).toEqual([null, null, Buffer.from("x")]);
  });

  test("many, in more than one command line", () => {
    const paths = Array.from({ length: 5000 }, (_, number) => `etc/${"long ".repeat(10)}${number}`);
    mkdirSync(at("etc"));
    for (const path of paths) if (!path.endsWith("7")) writeFileSync(at(path), path);
    for (const [index, fact] of inspect(paths).entries()) {
      const expected = paths[index]!.endsWith("7")
        ? { kind: "missing" }
        : { kind: "file", checksum: sha256(paths[index]!) };
      expect(fact).toMatchObject(expected);
    }
  });

  test("a root that is not there, one that is odd, and one that is no folder", () => {
    expect(inspect(["a"], join(dir, "nowhere"))).toEqual([{ kind: "missing" }]);
    const odd = join(dir, "odd 'root' $(id) \"x\"");
    mkdirSync(odd);
    writeFileSync(join(odd, "a"), "x");
    expect(inspect(["a"], odd)).toMatchObject([{ kind: "file" }]);
    const { status, stderr } = spawnSync(program, ["-c", inspectionCommand(join(odd, "a"), false, 1)], { env });
    expect(status).toBe(1);
    expect(stderr.toString()).toContain(`cannot enter ${odd}/a: Not a directory\n`);
  });

  test("content comes as it is, up to the limit", () => {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, number) => number % 256));
    writeFileSync(at("binary"), bytes);
    writeFileSync(at("empty"), "");
    writeFileSync(at("new\nline"), "text\n");
    writeFileSync(at("large"), Buffer.alloc(1001));
    symlinkSync("binary", at("link"));
    const paths = ["binary", "gone", "empty", "new\nline", "large", "link", "."];
    const answer = run(readingCommand(dir, false, 1000), readingInput(paths));
    expect(parseReading(answer, paths.length, 1000)).toEqual([
      bytes,
      null,
      Buffer.alloc(0),
      Buffer.from("text\n"),
      null,
      null,
      null,
    ]);
    expect(parseReading(run(readingCommand(`${dir}/no`, false, 9), readingInput(["a"])), 1, 9)).toEqual([null]);
    expect(() => parseReading(answer.slice(0, -2), paths.length, 1000)).toThrow("not whole");
    expect(() => parseReading(answer, paths.length - 1, 1000)).toThrow("not whole");
    expect(() => parseReading(`Welcome!\n${answer}`, paths.length, 1000)).toThrow("not whole");
  });
});

test("a host that lacks a program says so", () => {
  const { status, stderr } = spawnSync("/bin/sh", ["-c", inspectionCommand("/", false, 1)], {
    env: { PATH: "/nowhere" },
  });
  expect(`${status} ${stderr.toString()}`).toMatch(/127|stat is not installed/);
});
