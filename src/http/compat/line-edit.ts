import { HttpProblem } from "../problem.ts";

/** What is to be done with the `key=value` lines of a file. */
export interface LineEdit {
  readonly operate: "add" | "edit" | "del";
  /** Values by key; of a key that is deleted the value means nothing. */
  readonly datas: ReadonlyMap<string, string>;
}

const BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf";
const COMMENT = /^[ \t]*[#;]/;
const LFS = "version https://git-lfs.github.com/spec/";

/**
 * Edits the lines with these keys, and no other byte: a key is the whole text before the first `=`, comments are
 * none. All is done or nothing. Throws 404 for a key to edit that no line has, 409 for one to add that is there,
 * and for what is no text.
 */
export function editLines(content: Buffer, { operate, datas }: LineEdit): Buffer {
  // One character a byte: what is no UTF-8 stays as it is.
  const before = content.toString("latin1");
  if (before.includes("\0")) throw new HttpProblem(409, "the file is binary", { reason: "NotEditable" });
  if (before.startsWith(LFS)) throw new HttpProblem(409, "the file is a Git LFS pointer", { reason: "LfsPointer" });
  const wanted = new Map([...datas].map(([key, value]) => [bytes(key), bytes(value)]));
  const lines = before.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const found = new Set(lines.map(keyOf).filter((key) => key !== undefined && wanted.has(key)));
  switch (operate) {
    case "add":
      refuse(409, "has already", [...datas.keys()], (key) => found.has(key));
      return Buffer.from(appended(before, lines, wanted), "latin1");
    case "edit":
      refuse(404, "has no", [...datas.keys()], (key) => !found.has(key));
      return Buffer.from(lines.map((line) => replaced(line, wanted)).join(""), "latin1");
    case "del":
      return Buffer.from(lines.filter((line) => !wanted.has(keyOf(line) ?? "")).join(""), "latin1");
  }
}

/** Characters; nobody's key is longer, and commits name them. */
const LONGEST_KEY = 256;

/** Throws 400 for what could not be read back as the one line that it is meant to be. */
export function checkLine(key: string, value: string): void {
  const named = JSON.stringify(key);
  if (key === "") throw new HttpProblem(400, "datas: a key is empty");
  if (key.length > LONGEST_KEY) throw new HttpProblem(400, `datas: a key has more than ${LONGEST_KEY} characters`);
  if (/^\s|\s$/.test(key)) throw new HttpProblem(400, `datas: the key ${named} begins or ends with a space`);
  if (/^[#;]/.test(key)) throw new HttpProblem(400, `datas: the key ${named} begins as a comment does`);
  // oxlint-disable-next-line no-control-regex
  if (/[=\u0000-\u001f\u007f]/.test(key))
    throw new HttpProblem(400, `datas: the key ${named} holds \`=\` or a control character`);
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000\r\n]/.test(value)) throw new HttpProblem(400, `datas: the value of ${named} is not one line`);
  if (!key.isWellFormed() || !value.isWellFormed())
    throw new HttpProblem(400, `datas: ${named} or its value is no Unicode text`);
}

interface KeyValue {
  readonly key: string;
  /** Where the value begins and ends in the line. */
  readonly from: number;
  readonly to: number;
}

/**
 * `key=value`; spaces around both belong to the line, not to them. Undefined for a line that is none, and for comments.
 * No regular expression: with one, a line of blanks takes time by the cube of its length.
 */
function parse(line: string): KeyValue | undefined {
  const equals = line.indexOf("=");
  if (equals < 0 || COMMENT.test(line)) return undefined;
  let begin = blanksEnd(line, 0);
  if (line.startsWith(BYTE_ORDER_MARK, begin)) begin += BYTE_ORDER_MARK.length;
  let end = equals;
  while (end > begin && isBlank(line[end - 1])) end -= 1;
  const from = blanksEnd(line, equals + 1);
  const to = line.length - lineEnd(line).length;
  return { key: line.slice(begin, end), from, to };
}

function keyOf(line: string): string | undefined {
  return parse(line)?.key;
}

function replaced(line: string, values: ReadonlyMap<string, string>): string {
  const parsed = parse(line);
  const value = parsed && values.get(parsed.key);
  if (value === undefined) return line;
  return line.slice(0, parsed!.from) + value + line.slice(parsed!.to);
}

function blanksEnd(line: string, from: number): number {
  let at = from;
  while (isBlank(line[at])) at += 1;
  return at;
}

function isBlank(character: string | undefined): boolean {
  return character === " " || character === "\t";
}

function lineEnd(line: string): string {
  return ["\r\n", "\n", "\r"].find((end) => line.endsWith(end)) ?? "";
}

/** New lines end as the last ones do; a file whose last line has no end has none afterwards either. */
function appended(before: string, lines: readonly string[], values: ReadonlyMap<string, string>): string {
  const end = lines.at(-1)?.endsWith("\r\n") || lines.at(-2)?.endsWith("\r\n") ? "\r\n" : "\n";
  const added = [...values].map(([key, value]) => `${key}=${value}`).join(end);
  if (added === "") return before;
  return before === "" || before.endsWith("\n") ? `${before}${added}${end}` : `${before}${end}${added}`;
}

function refuse(status: number, what: string, keys: readonly string[], isWrong: (key: string) => boolean): void {
  const wrong = keys.filter((key) => isWrong(bytes(key)));
  if (wrong.length > 0) throw new HttpProblem(status, `the file ${what} key ${wrong.join(", ")}`);
}

function bytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
