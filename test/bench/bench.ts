import { parseArgs } from "node:util";
import { namespaceUnavailable } from "../support/fleet.ts";
import { withDeadHosts } from "./dead-hosts.ts";
import { withHosts } from "./hosts.ts";
import { onKubernetes } from "./kubernetes.ts";
import { withLargeFleet } from "./large-fleet.ts";
import { markdown } from "./markdown.ts";
import { soakTables } from "./soak-tables.ts";
import { withoutHosts, type Row } from "./without-hosts.ts";

const { values: options } = parseArgs({
  options: {
    /** Hosts of a round, with dead ones, and of a soak; 200, and 500 for a soak, unless given. */
    hosts: { type: "string" },
    rounds: { type: "string", default: "3" },
    "without-hosts": { type: "boolean", default: false },
    kubernetes: { type: "boolean", default: false },
    /** So many hosts. */
    fleet: { type: "string" },
    /** Some hosts do not answer. */
    dead: { type: "boolean", default: false },
    /** For so long, `60m`. */
    soak: { type: "string" },
  },
});
const rounds = Number(options.rounds);

print(`fssync bench, ${new Date().toISOString().slice(0, 10)}, Node ${process.version}\n`);
for await (const text of tables()) print(`\n${text}`);

async function* tables(): AsyncGenerator<string> {
  if (options.kubernetes) return yield rowTable("Kubernetes", await onKubernetes());
  const onlyHosts = options.fleet !== undefined || options.dead || options.soak !== undefined;
  if (!onlyHosts) yield rowTable("Without hosts", await withoutHosts());
  if (options["without-hosts"]) return;
  const unavailable = namespaceUnavailable();
  if (unavailable !== undefined) yield `The rest needs a fleet in a network namespace: ${unavailable}.\n`;
  else if (options.fleet !== undefined) yield* withLargeFleet(Number(options.fleet), rounds);
  else if (options.dead) yield* withDeadHosts(Number(options.hosts ?? 200), rounds);
  else if (options.soak !== undefined) yield* soakTables(options.soak, Number(options.hosts ?? 500));
  else yield* withHosts(Number(options.hosts ?? 200), rounds);
}

function rowTable(title: string, rows: readonly Row[]): string {
  const cells = rows.map(({ what, figure, limit }) => [what, figure, limit]);
  return markdown([title, "Measured", "To reach"], cells, [1, 2]);
}

function print(text: string): void {
  process.stdout.write(text);
}
