import { parse } from "yaml";

export interface Value {
  readonly path: string;
  readonly default: unknown;
  readonly meaning: string | undefined;
}

/** Every value that is no section, with what the comment `# -- …` above it says. */
export function valuesOf(text: string): readonly Value[] {
  const tree: unknown = parse(text);
  const values: Value[] = [];
  const path: string[] = [];
  let meaning: string | undefined;
  let owner = "";
  for (const line of text.split("\n")) {
    const [, comment] = /^ *# -- (.*)$/.exec(line) ?? [];
    const [, indent, key] = /^( *)([A-Za-z]\w*):/.exec(line) ?? [];
    if (comment !== undefined) meaning = comment;
    if (key === undefined) continue;
    path.splice(indent!.length / 2, Infinity, key);
    const name = path.join(".");
    // What lies below a value with a comment is its default.
    if (owner !== "" && name.startsWith(`${owner}.`)) continue;
    const found = path.reduce((node, step) => (node as Record<string, unknown>)[step], tree);
    const isSection = meaning === undefined && typeof found === "object" && Object.keys(found ?? {}).length > 0;
    if (!isSection) {
      values.push({ path: name, default: found, meaning });
      owner = name;
    }
    meaning = undefined;
  }
  return values;
}

export function valuesTable(values: readonly Value[]): string {
  const rows = values.map(({ path, default: value, meaning }) => {
    const shown = typeof value === "string" && value !== "" ? value : JSON.stringify(value);
    return `| \`${path}\` | \`${shown}\` | ${meaning} |\n`;
  });
  return `| Key | Default | Meaning |\n| --- | --- | --- |\n${rows.join("")}`;
}
