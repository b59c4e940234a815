import { bracketed } from "../../model/host.ts";
import { severity } from "../../model/state.ts";
import type { OperationHost } from "../../reconcile/sync-operation.ts";

/** The port that a host is taken to have where the answer names none. */
const SSH = 22;

export type SyncedHost = Pick<OperationHost, "address" | "port" | "outcome" | "state" | "apps">;

/**
 * What came of each host, as the predecessor said it: `10.0.0.11:success` or `10.0.0.11:<error>`, one line each,
 * sorted. A host has success when all that was asked for is on it. One that has left the CMDB is no host any more.
 */
export function syncLines(hosts: Iterable<SyncedHost>): string[] {
  const worst = new Map<string, SyncedHost>();
  for (const host of hosts) {
    if (host.outcome === "Gone") continue;
    const key = `${host.address} ${host.port}`;
    const known = worst.get(key);
    if (!known || rank(host) < rank(known)) worst.set(key, host);
  }
  const byAddress = Map.groupBy(worst.values(), ({ address }) => address);
  return [...worst.values()].sort(compare).map((host) => {
    const { address, port } = host;
    const told = port === SSH || byAddress.get(address)!.length === 1 ? "" : `:${port}`;
    return `${bracketed(address)}${told}:${outcomeText(host)}`;
  });
}

/** Worst first. */
function rank({ outcome, state }: SyncedHost): number {
  return outcome === "Synced" || state === null ? Infinity : severity(state);
}

function outcomeText({ outcome, apps }: SyncedHost): string {
  if (outcome === "Synced") return "success";
  if (outcome === "Suspended") return "Suspended: people have stopped work on it";
  if (outcome === "Drifted") return "Drifted: somebody has changed files there";
  const failed = apps
    .filter(({ reason }) => reason !== undefined)
    .sort((a, b) => severity(a.state) - severity(b.state))[0];
  if (failed) return oneLine(`${failed.reason}: ${failed.message ?? failed.app}`);
  if (outcome === "Waiting") return "Pending: it is not done yet, and is tried again";
  return `${outcome}: what was done could not be recorded, and is done again`;
}

function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}

/** 10.0.0.9 before 10.0.0.11. */
const collator = new Intl.Collator("en", { numeric: true });

function compare(a: SyncedHost, b: SyncedHost): number {
  return collator.compare(a.address, b.address) || a.port - b.port;
}
