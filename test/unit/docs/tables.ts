import { Command } from "commander";
import { z } from "zod";
import { withApi } from "../../../src/cli/api-options.ts";
import { withGlobals, withKubernetes, withLeaderElection, withServer } from "../../../src/cli/globals.ts";
import { configRepoJsonSchema } from "../../../src/config/json-schema.ts";
import { Condition, RESOURCES, type ResourceKind } from "../../../src/config/resources.ts";
import { REASONS, type Reason, type ReasonInfo } from "../../../src/model/errors.ts";

/** The parts of the documentation that are made of the sources. `vitest run test/unit/docs -u` rewrites them. */

interface SchemaNode {
  readonly type?: string;
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

interface ConfigOption {
  readonly path: string;
  readonly node: SchemaNode;
  /** Empty when it may be absent; `required in X` when only X, which may be absent, requires it. */
  readonly required: string;
  /** What the section is for whose only key this is. */
  readonly about?: string | undefined;
}

/** Every key of the document that holds a value, in the order of the schema. */
function configOptions(node: SchemaNode, path = "", required = "required"): readonly ConfigOption[] {
  const properties = Object.entries(node.properties ?? {}).filter(([key]) => key !== "$schema");
  const own = properties.flatMap(([key, child]) => {
    const at = path === "" ? key : `${path}.${key}`;
    const needed = node.required?.includes(key) ? required : "";
    const below = configOptions(child, at, needed || `required in \`${key}\``);
    if (!child.properties) return [{ path: at, node: child, required: needed }, ...below];
    // What a section that has but one key is for, nobody would read elsewhere.
    return below.length === 1 ? below.map((one) => ({ ...one, about: child.description })) : below;
  });
  const items = node.items ? configOptions(node.items, `${path}[]`, required) : [];
  return [...own, ...items, ...(node.anyOf ?? []).flatMap((branch) => configOptions(branch, path, required))];
}

export function optionsTable(): string {
  const rows = configOptions(configRepoJsonSchema()).map(({ path, node, required, about }) => [
    code(path),
    typeText(node),
    node.default === undefined ? required : code(JSON.stringify(node.default).replaceAll('"', "")),
    [about, node.description].filter(Boolean).join(" "),
  ]);
  return table(["Key", "Type", "Default", "Meaning"], rows);
}

/** The options that every command takes. */
export function flagsTable(): string {
  return flagsOf(withGlobals(new Command()));
}

/** Those that say where in Kubernetes; the last one is of `run` alone. */
export function kubernetesFlagsTable(): string {
  return flagsOf(withLeaderElection(withKubernetes(new Command())));
}

/** What `run` takes of the API. */
export function serverFlagsTable(): string {
  return flagsOf(withServer(new Command()));
}

/** What commands take that can ask a controller over HTTP. */
export function apiFlagsTable(): string {
  return flagsOf(withApi(new Command()));
}

function flagsOf({ options }: Command): string {
  const rows = options.map(({ flags, envVar, defaultValue, description }) => {
    const inText = / \(env: ([\w=]+)\)$/.exec(description);
    const shown = defaultValue === undefined || typeof defaultValue === "boolean" ? "" : code(String(defaultValue));
    const meaning = description.replace(/ \(env: [\w=]+\)$/, "").replace(/<\S+/, (word) => code(word));
    return [code(flags), code(envVar ?? inText?.[1] ?? ""), shown, meaning];
  });
  return table(["Flag", "Environment", "Default", "Meaning"], rows);
}

/** The tables of docs/kubernetes.md by the names of their blocks. */
export const RESOURCE_TABLES: ReadonlyMap<string, string> = new Map([
  ["ConfigRepo status", fieldsTable("ConfigRepo", "status")],
  ["ConfigApp spec", fieldsTable("ConfigApp", "spec")],
  ["ConfigApp status", fieldsTable("ConfigApp", "status")],
  ["ConfigHost spec", fieldsTable("ConfigHost", "spec")],
  ["ConfigHost status", fieldsTable("ConfigHost", "status")],
  ["condition", rowsOf(z.toJSONSchema(Condition, { io: "input" }) as SchemaNode, "")],
]);

function fieldsTable(kind: ResourceKind, part: "spec" | "status"): string {
  return rowsOf(z.toJSONSchema(RESOURCES[kind][part], { io: "input" }) as SchemaNode, part);
}

/** Conditions are the same everywhere: a table of their own says what is in one. */
function rowsOf(schema: SchemaNode, path: string): string {
  const rows = configOptions(schema, path)
    .filter((option) => !option.path.startsWith("status.conditions[]"))
    .map(({ path: at, node, about }) => [
      code(at.replace(/^status\./, "")),
      typeText(node),
      [about, node.description].filter(Boolean).join(" "),
    ]);
  return table(["Field", "Type", "Meaning"], rows);
}

/** Sections of docs/errors.md by the first reason of each, in the order of `REASONS`. */
const SECTIONS: readonly { readonly from: Reason; readonly title: string; readonly about: string; host: boolean }[] = [
  {
    from: "NameResolutionFailed",
    title: "The host was not reached",
    about: "Shown for an app on a host. The host is tried again with backoff (1 s to 5 min) for as long as it lags.",
    host: true,
  },
  {
    from: "AuthFailed",
    title: "The host was reached and it did not work",
    about:
      "Shown for an app on a host. Tried again like the ones above, and at once when a new commit changes the app.",
    host: true,
  },
  {
    from: "PathConflict",
    title: "Held on purpose",
    about: "Nothing of the app is sent until Git, the inventory or an operator changes something. Its siblings go on.",
    host: true,
  },
  {
    from: "ControllerNoSpace",
    title: "On the controller",
    about: "Shown for an app on a host when it ended that host's sync, else as a problem of the repo.",
    host: true,
  },
  {
    from: "FetchFailed",
    title: "Git",
    about:
      "Problems of a repo: `status` prints them below the repo's name, `-o json` has them under `problems`. No host changes its state.",
    host: false,
  },
  {
    from: "InventoryFailed",
    title: "Inventory",
    about: "Problems of a repo, as above.",
    host: false,
  },
  {
    from: "InvalidSpec",
    title: "Start",
    about:
      "Printed on stderr by the command, which ends with 1; `StoreCorrupt` alone is logged and the controller goes on.",
    host: false,
  },
];

export function errorsPage(): string {
  const reasons = Object.entries(REASONS) as [Reason, ReasonInfo][];
  const starts = SECTIONS.map(({ from }) => reasons.findIndex(([name]) => name === from));
  const sections = SECTIONS.map(({ title, about, host }, index) => {
    const rows = reasons
      .slice(starts[index], starts[index + 1])
      .map(([name, { state, retry, meaning, next }]) =>
        host ? [code(name), state, retry ? "yes" : "no", meaning, next] : [code(name), meaning, next],
      );
    const head = host ? ["Reason", "State", "Retried", "Meaning", "What to do"] : ["Reason", "Meaning", "What to do"];
    return `## ${title}\n\n${about}\n\n${table(head, rows)}`;
  });
  return `${ERRORS_INTRO}\n${sections.join("\n")}`;
}

const ERRORS_INTRO = `<!-- Made of REASONS in src/model/errors.ts: \`vitest run test/unit/docs -u\` rewrites it. -->

# Reasons

Every failure has one of these reasons and the first useful line of what the program at fault said. They stand in
\`status\`, in \`-o json\` (\`reason\`, \`message\`), in the log (\`reason\`, \`message\`, \`next\`) and on stderr of a command
that ends with 1. No secret is in any of them.
`;

/** The text between `<!-- begin NAME -->` and `<!-- end NAME -->` replaced. Throws when the marks are missing. */
export function withBlock(text: string, name: string, block: string): string {
  const marks = new RegExp(`(<!-- begin ${name} -->\n)[\\s\\S]*?(<!-- end ${name} -->)`);
  if (!marks.test(text)) throw new Error(`no block ${name}`);
  return text.replace(marks, (_, begin: string, end: string) => `${begin}\n${block}\n${end}`);
}

function typeText(node: SchemaNode): string {
  if (node.const !== undefined) return code(node.const);
  if (node.enum) return node.enum.map(code).join(", ");
  if (node.type === "array") return "list";
  if (node.type === "object") return "map";
  if (node.anyOf) return "name or number";
  if (node.type === "integer") return isBounded(node) ? `${node.minimum} to ${node.maximum}` : "number";
  if (node.format === "date-time") return "time";
  return node.pattern?.includes("ms|s|m|h|d") ? "duration" : (node.type ?? "");
}

/** zod's own bound of integers says nothing. */
function isBounded({ maximum = Number.MAX_SAFE_INTEGER }: SchemaNode): boolean {
  return maximum < Number.MAX_SAFE_INTEGER;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("");
}

function code(text: string): string {
  return text === "" ? "" : `\`${text}\``;
}
