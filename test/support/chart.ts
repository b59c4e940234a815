import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubernetesObject } from "@kubernetes/client-node";
import { parseAllDocuments } from "yaml";
import { kubeBinaries } from "./kube/binaries.ts";

export const CHART = join(import.meta.dirname, "../../charts/fssync");

/** The files of values in the chart's folder ci. */
export const CI_FILES = readdirSync(join(CHART, "ci")).toSorted();

export interface RenderOptions {
  /** Name of a file of the folder ci. */
  readonly ciFile?: string;
  /** Values besides; they go before those of the file. */
  readonly values?: unknown;
  /** More arguments of `helm template`. */
  readonly args?: readonly string[];
  /** Another folder than the chart's own. */
  readonly chart?: string;
}

/** What `helm template` makes, as text; release `fssync` in namespace `ops`. Throws with what helm said. */
export async function renderText(options: RenderOptions = {}): Promise<string> {
  const { ciFile, values, args = [], chart = CHART } = options;
  const files = [...(ciFile === undefined ? [] : ["-f", join(CHART, "ci", ciFile)]), ...(values ? ["-f", "-"] : [])];
  return await helm(["template", "fssync", chart, "--namespace", "ops", ...files, ...args], JSON.stringify(values));
}

export async function render(options: RenderOptions = {}): Promise<KubernetesObject[]> {
  return objectsOf(await renderText(options));
}

function objectsOf(text: string): KubernetesObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
}

/** The one object of a kind, of that name when there are several; throws when there is none. */
export function find<Kind extends KubernetesObject>(objects: KubernetesObject[], kind: string, name?: string): Kind {
  const found = all<Kind>(objects, kind).filter(({ metadata }) => name === undefined || metadata?.name === name);
  if (found.length !== 1) throw new Error(`${found.length} objects of kind ${kind} ${name ?? ""}`);
  return found[0]!;
}

export function all<Kind extends KubernetesObject>(objects: KubernetesObject[], kind: string): Kind[] {
  return objects.filter((object) => object.kind === kind) as Kind[];
}

/** Runs helm without a cluster. */
export async function helm(args: readonly string[], input?: string): Promise<string> {
  const { helm: command } = await kubeBinaries();
  const env = { PATH: process.env["PATH"], HOME: tmpdir() };
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = execFile(command, args, { env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
    if (error) reject(new Error(`${stdout}${stderr}`, { cause: error }));
    else resolve(stdout);
  });
  child.stdin?.once("error", () => {});
  child.stdin?.end(input ?? "");
  return await promise;
}
