import { severity, type State } from "../../model/state.ts";
import { bracketed } from "../../model/host.ts";
import type { AppOnHostReport, HostReport, StatusReport } from "../../plan/status-report.ts";

/** The port that a host is taken to have where the predecessor's answer names none. */
const SSH = 22;

interface Outcome {
  readonly address: string;
  readonly port: number;
  readonly state: State;
  readonly text: string;
}

export interface LeftAlone {
  readonly address: string;
  readonly port: number;
}

/**
 * What came of each host, as the predecessor said it: `10.0.0.11:success` or `10.0.0.11:<error>`, one line each,
 * sorted. A host has success when all that was asked for is on it. `suspended` are the hosts that people keep it from.
 */
export function syncLines({ repos }: StatusReport, suspended: readonly LeftAlone[]): string[] {
  const outcomes = new Map<string, Outcome>();
  const note = (outcome: Outcome) => {
    const key = `${outcome.address} ${outcome.port}`;
    const known = outcomes.get(key);
    if (!known || severity(outcome.state) < severity(known.state)) outcomes.set(key, outcome);
  };
  for (const { address, port } of suspended)
    note({ address, port, state: "Suspended", text: "Suspended: people have stopped work on it" });
  for (const host of repos.flatMap(({ hosts }) => hosts)) note(outcomeOf(host));
  const ports = Map.groupBy(outcomes.values(), ({ address }) => address);
  return [...outcomes.values()].sort(byAddress).map(({ address, port, text }) => {
    const told = port === SSH || ports.get(address)!.length === 1 ? "" : `:${port}`;
    return `${bracketed(address)}${told}:${text}`;
  });
}

function outcomeOf({ address, port, state, apps }: HostReport): Outcome {
  if (state === "Synced") return { address, port, state, text: "success" };
  const worst = apps.find((app) => app.state === state)!;
  return { address, port, state, text: oneLine(whyNot(worst)) };
}

function whyNot({ app, state, reason, message }: AppOnHostReport): string {
  if (reason !== undefined) return `${reason}: ${message ?? app}`;
  if (state === "Pending" || state === "Syncing") return `${state}: a newer commit of ${app} is on its way`;
  return `${state}: ${app}`;
}

function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}

/** 10.0.0.9 before 10.0.0.11. */
const collator = new Intl.Collator("en", { numeric: true });

function byAddress(a: Outcome, b: Outcome): number {
  return collator.compare(a.address, b.address) || a.port - b.port;
}
