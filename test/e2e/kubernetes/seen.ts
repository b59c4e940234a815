import type { CoreV1Event } from "@kubernetes/client-node";
import type { Condition } from "../../../src/config/resources.ts";
import type { FleetHost } from "../../support/fleet.ts";
import type { KubeWorld } from "../../support/kube-world.ts";
import { textOn } from "../on-host.ts";

interface WithConditions {
  readonly status?: { readonly conditions?: readonly Condition[] | undefined };
}

/** A condition of an object; undefined when it has none of the type. */
export function condition(object: WithConditions | undefined, type: string): Condition | undefined {
  return object?.status?.conditions?.find((one) => one.type === type);
}

/** Status and reason of a condition, `True Succeeded`; empty when there is none. */
export function brief(object: WithConditions | undefined, type: string): string {
  const found = condition(object, type);
  return found ? `${found.status} ${found.reason}` : "";
}

/** The events of the world's namespace with this reason. */
export async function events(world: KubeWorld, reason: string): Promise<CoreV1Event[]> {
  const text = await world.kubectl("get", "events", "--field-selector", `reason=${reason}`, "-o", "json");
  return (JSON.parse(text) as { items: CoreV1Event[] }).items;
}

/** Whether each of these hosts has this text at the path. */
export function allHave(hosts: readonly FleetHost[], path: string, text: string): boolean {
  return hosts.every((host) => textOn(host, path) === text);
}

/** The table that `kubectl get` prints: its header, and the rows by their first column. Cells are two spaces apart. */
export async function table(
  world: KubeWorld,
  kind: string,
): Promise<{ header: string[]; rows: Map<string, string[]> }> {
  const [header = "", ...rows] = (await world.kubectl("get", kind)).trimEnd().split("\n");
  const cells = (line: string) => line.split(/\s{2,}/).filter((cell) => cell !== "");
  return { header: cells(header), rows: new Map(rows.map((row) => [cells(row)[0]!, cells(row)])) };
}
