import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type Document, LineCounter, type YAMLParseError, isMap, isNode, isScalar, parseAllDocuments } from "yaml";
import { FssyncError } from "../model/errors.ts";
import { describeMistake, show } from "./mistakes.ts";
import { type ParseOptions, parseConfigRepo } from "./parse.ts";
import type { ConfigRepo } from "./schema.ts";

/**
 * Reads every ConfigRepo of a YAML file. Throws InvalidSpec whose message lists all mistakes of all
 * documents, a line each: `file:line: name: path: value — expectation`.
 */
export async function loadConfigRepos(file: string, options: ParseOptions): Promise<ConfigRepo[]> {
  const text = await readText(file);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    version: "1.2",
  });
  const findings: Finding[] = [];
  const configs: ConfigRepo[] = [];
  const names = new Map<string, number>();
  const filled = (Array.isArray(documents) ? documents : []).filter((document) => !isEmpty(document));
  for (const [index, document] of filled.entries()) {
    const read = readDocument(document, index, { text, lines, options });
    findings.push(...read.findings);
    const earlier = read.name === undefined ? undefined : names.get(read.name);
    if (earlier !== undefined) findings.push(duplicate(read.name!, earlier, document, lines));
    else if (read.name !== undefined) names.set(read.name, lineOf(document, ["metadata", "name"], lines));
    if (read.config !== undefined) configs.push(withAbsolutePath(read.config, file));
  }
  if (filled.length === 0) findings.push({ line: 1, text: "no document — expected at least one of kind ConfigRepo" });
  if (findings.length > 0) throw invalid(file, findings);
  return configs;
}

interface Finding {
  readonly line: number;
  readonly text: string;
}

interface Source {
  readonly text: string;
  readonly lines: LineCounter;
  readonly options: ParseOptions;
}

interface ReadDocument {
  readonly name?: string;
  readonly config?: ConfigRepo;
  readonly findings: readonly Finding[];
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : String(code);
    throw new FssyncError("InvalidSpec", `${file}: cannot be read: ${why}`, { cause: error });
  }
}

function readDocument(document: Document, index: number, { text, lines, options }: Source): ReadDocument {
  if (document.errors.length > 0)
    return { findings: document.errors.map((error) => syntaxFinding(error, text, lines)) };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return { findings: [{ line: lineOf(document, [], lines), text: (error as Error).message }] };
  }
  const given = (value as { metadata?: { name?: unknown } } | null)?.metadata?.name;
  const name = typeof given === "string" && given !== "" ? given : undefined;
  const label = name === undefined ? `document ${index + 1}` : show(name).slice(1, -1);
  const parsed = parseConfigRepo(value, options);
  if ("config" in parsed) return { name: parsed.config.metadata.name, config: parsed.config, findings: [] };
  const findings = parsed.mistakes.map((mistake) => ({
    line: lineOf(document, mistake.path, lines),
    text: `${label}: ${describeMistake(mistake)}`,
  }));
  return name === undefined ? { findings } : { name, findings };
}

function syntaxFinding(error: YAMLParseError, text: string, lines: LineCounter): Finding {
  const line = lines.linePos(error.pos[0]).line;
  if (error.code !== "DUPLICATE_KEY") return { line, text: `not YAML: ${error.message}` };
  const key = /^[^:\n]{1,80}/.exec(text.slice(error.pos[0]))?.[0].trim();
  return { line, text: `${key}: a second time — expected each key once in a map` };
}

/** The line of the key at a path, or of the nearest thing above it that is there. */
function lineOf(document: Document, path: readonly (string | number)[], lines: LineCounter): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const offset = offsetOf(document, path.slice(0, length));
    if (offset !== undefined) return lines.linePos(offset).line;
  }
  return 1;
}

function offsetOf(document: Document, path: readonly (string | number)[]): number | undefined {
  if (path.length === 0) return isNode(document.contents) ? document.contents.range?.[0] : undefined;
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => (isScalar(key) ? String(key.value) : String(key)) === String(last));
    return isNode(pair?.key) ? pair.key.range?.[0] : undefined;
  }
  const item = document.getIn(path, true);
  return isNode(item) ? item.range?.[0] : undefined;
}

function duplicate(name: string, earlier: number, document: Document, lines: LineCounter): Finding {
  const line = lineOf(document, ["metadata", "name"], lines);
  return { line, text: `${name}: metadata.name: "${name}" — expected a name of its own; line ${earlier} has it too` };
}

function isEmpty(document: Document): boolean {
  return document.errors.length === 0 && (document.contents === null || isNull(document.contents));
}

function isNull(node: unknown): boolean {
  return isScalar(node) && node.value === null;
}

/** Relative to the document, so that the folder a process happens to start in does not matter. */
function withAbsolutePath(config: ConfigRepo, file: string): ConfigRepo {
  const { inventory } = config.spec;
  if (inventory.file === undefined) return config;
  const path = resolve(dirname(file), inventory.file.path);
  return { ...config, spec: { ...config.spec, inventory: { ...inventory, file: { path } } } };
}

function invalid(file: string, findings: readonly Finding[]): FssyncError {
  const sorted = findings.toSorted((a, b) => a.line - b.line);
  const list = sorted.map(({ line, text }) => `${file}:${line}: ${oneLine(text)}`);
  return new FssyncError("InvalidSpec", list.join("\n"));
}

/** Keys and YAML's own messages may hold anything; a mistake is one line that a terminal can show. */
function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
