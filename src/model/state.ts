/** States of one app on one host, worst first: the worst one is the host's and the app's. */
export const STATES = [
  "Failed",
  "Conflict",
  "Unreachable",
  "Drifted",
  "Syncing",
  "Pending",
  "Suspended",
  "Synced",
] as const;

export type State = (typeof STATES)[number];

const SEVERITY = new Map<State, number>(STATES.map((state, index) => [state, index]));

export function severity(state: State): number {
  return SEVERITY.get(state)!;
}

/** The worst of some states; `Synced` when there are none. */
export function worst(states: Iterable<State>): State {
  let found: State = "Synced";
  for (const state of states) if (severity(state) < severity(found)) found = state;
  return found;
}
