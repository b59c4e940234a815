/**
 * Makes deploy/kubernetes and the rules of deploy/prometheus of the chart, for people without Helm. With --check it writes nothing, names the
 * files that are stale and exits 1 when there are any. Needs no cluster.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CHART, renderText } from "../test/support/chart.ts";
import { rulesText } from "./prometheus/rules.ts";

const FOLDER = import.meta.dirname;
const NAMESPACE = `---
apiVersion: v1
kind: Namespace
metadata:
  name: fssync
  labels:
    pod-security.kubernetes.io/enforce: restricted
`;
const HEADER = `# Made by \`npm run generate:manifests\` from charts/fssync; changes by hand are lost.
`;
const ABOUT_CRDS = `# The custom resources of fssync.
`;
const ABOUT_CONTROLLER = `# The controller for the ConfigRepos of namespace fssync. Put the name of your image in, then:
#   kubectl apply --server-side --field-manager=helm -f deploy/kubernetes
# There is no PodDisruptionBudget: up to Kubernetes 1.20 it is of policy/v1beta1, later of policy/v1. The chart
# makes the one that fits.
`;

const ABOUT_RULES = `# The alerts of fssync with the chart's default thresholds. docs/runbooks says what to do about each.
`;

const files = new Map([
  ["kubernetes/crds.yaml", HEADER + ABOUT_CRDS + crds()],
  ["kubernetes/fssync.yaml", HEADER + ABOUT_CONTROLLER + NAMESPACE + (await controller())],
  ["prometheus/fssync.rules.yaml", HEADER + ABOUT_RULES + (await rulesText())],
]);

if (process.argv.includes("--check")) {
  const stale = [...files].filter(([name, content]) => stored(name) !== content).map(([name]) => name);
  for (const name of stale) process.stderr.write(`deploy/${name} is stale: npm run generate:manifests writes it\n`);
  if (stale.length > 0) process.exitCode = 1;
} else {
  for (const [name, content] of files) {
    mkdirSync(dirname(join(FOLDER, name)), { recursive: true });
    writeFileSync(join(FOLDER, name), content);
  }
}

function crds(): string {
  const folder = join(CHART, "files/crds");
  const withoutComment = (name: string) => readFileSync(join(folder, name), "utf8").replace(/^#.*\n/gm, "");
  return readdirSync(folder)
    .toSorted()
    .map((name) => `---\n${withoutComment(name)}`)
    .join("");
}

/** What only Helm understands is left out, and what does not fit every version of Kubernetes. */
async function controller(): Promise<string> {
  const args = ["--namespace", "fssync", "--set", "crds.install=false,podDisruptionBudget.enabled=false"];
  const text = await renderText({ args });
  return text.replace(/^(# Source: .*| +helm\.sh\/chart: .*| +app\.kubernetes\.io\/managed-by: .*)\n/gm, "");
}

function stored(name: string): string | undefined {
  try {
    return readFileSync(join(FOLDER, name), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
