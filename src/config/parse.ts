import { isFileUrl } from "./git-url.ts";
import { configRepoJsonSchema } from "./json-schema.ts";
import { type Mistake, expectationOf, mistakesOf, show } from "./mistakes.ts";
import { ConfigRepo } from "./schema.ts";

export interface ParseOptions {
  /** `git.url: file:///…` reads the controller's own disk; it must be asked for. */
  readonly allowFileUrls: boolean;
}

export type Parsed = { readonly config: ConfigRepo } | { readonly mistakes: readonly Mistake[] };

/** Checks one document, whether it came from a file or from Kubernetes; finds all its mistakes at once. */
export function parseConfigRepo(document: unknown, { allowFileUrls }: ParseOptions): Parsed {
  const result = ConfigRepo.safeParse(document, { error: expectationOf });
  const mistakes = result.success ? [] : mistakesOf(result.error.issues, document).map(namingKnownKeys);
  const url = gitUrl(document);
  if (!allowFileUrls && url !== undefined && isFileUrl(url))
    mistakes.push({
      path: ["spec", "git", "url"],
      shown: show(url),
      expectation: "expected https or ssh; file URLs only with --allow-file-urls",
    });
  return result.success && mistakes.length === 0 ? { config: result.data } : { mistakes };
}

function gitUrl(document: unknown): string | undefined {
  const url = (document as { spec?: { git?: { url?: unknown } } } | null)?.spec?.git?.url;
  return typeof url === "string" ? url : undefined;
}

/** An unknown key is most often a known one spelled wrong: say which there are. */
function namingKnownKeys(mistake: Mistake): Mistake {
  if (mistake.expectation !== "") return mistake;
  const known = knownKeys(mistake.path.slice(0, -1));
  const expectation = known.length > 0 ? `expected one of ${known.join(", ")}` : "expected no such key";
  return { ...mistake, expectation };
}

interface SchemaNode {
  readonly properties?: Record<string, SchemaNode>;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

function knownKeys(path: readonly (string | number)[]): string[] {
  let node: SchemaNode | undefined = configRepoJsonSchema();
  for (const step of path) node = below(node, step);
  return Object.keys(objectNode(node)?.properties ?? {}).filter((key) => key !== "$schema");
}

function below(node: SchemaNode | undefined, step: string | number): SchemaNode | undefined {
  return typeof step === "number" ? node?.items : objectNode(node)?.properties?.[step];
}

function objectNode(node: SchemaNode | undefined): SchemaNode | undefined {
  return node?.anyOf?.find((branch) => branch.properties !== undefined) ?? node;
}
