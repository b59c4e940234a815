import { appId } from "../../model/app.ts";
import { REASONS, type Reason } from "../../model/errors.ts";
import type { SyncRequest } from "../../reconcile/controller.ts";
import { parseHostText } from "../../model/host.ts";
import type { Outcome } from "../../reconcile/host-outcome.ts";
import type { LeftAlone } from "../../reconcile/left-alone.ts";
import type { OperationCounts, SyncOperation, Unanswered } from "../../reconcile/sync-operation.ts";
import type { Operation, SyncBody } from "../schemas/operation.ts";

export function syncRequest({ repo, mod, env, app, hosts = [], full, allowPrune }: SyncBody): SyncRequest {
  const scope = { ...(repo && { repo }), ...(mod && { mod }), ...(env && { env }), ...(app && { app }) };
  return { apps: [], hosts, scope, full, allowPrune };
}

/** An operation as it is now, with its hosts of these outcomes; of all unless given. */
export function operationView(operation: SyncOperation, outcomes?: readonly Outcome[]): Operation {
  const shown = [...operation.hosts].filter(({ outcome }) => outcomes?.includes(outcome) ?? true);
  return { ...operationSummary(operation), hosts: shown as Operation["hosts"] };
}

/** The same without its hosts. */
export function operationSummary(operation: SyncOperation): Operation {
  const { id, phase, request, by, createdAt, finishedAt, revisions, problems, leftAlone, error } = operation;
  const { Waiting, Synced, Failed, Unreachable, Held, Suspended, Drifted, Gone, ...counts } = operation.counts;
  return {
    id,
    kind: "sync",
    phase,
    message: messageOf(operation),
    request: askedFor(request),
    by,
    createdAt: isoTime(createdAt),
    ...(finishedAt === null ? {} : { finishedAt: isoTime(finishedAt) }),
    revisions: [...revisions],
    counts: {
      ...counts,
      waiting: Waiting,
      synced: Synced,
      failed: Failed,
      unreachable: Unreachable,
      held: Held,
      suspended: Suspended,
      drifted: Drifted,
      gone: Gone,
    },
    ...(operation.hostsForgotten && { hostsForgotten: true }),
    problems: problems.map(({ repo, reason, message, since }) => ({ repo, reason, message, since: isoTime(since) })),
    ...(leftAlone.length > 0 && { leftAlone: leftAlone.map(leftAloneView) }),
    ...(error && { error: { reason: error.reason, message: error.message, next: REASONS[error.reason].next } }),
  };
}

function leftAloneView({
  app,
  host,
  since,
  by,
  reason,
  ...rest
}: LeftAlone): NonNullable<Operation["leftAlone"]>[number] {
  const named = host === undefined ? undefined : parseHostText(host)!;
  return {
    ...rest,
    ...(app && appId(app)),
    ...(named && { address: named.address, port: named.port ?? 22 }),
    ...(since !== undefined && { since: isoTime(since) }),
    ...(by && { by }),
    ...(reason && { reason }),
  };
}

function askedFor({ scope = {}, hosts, full, allowPrune }: SyncRequest): Operation["request"] {
  const all = Object.keys(scope).length + hosts.length === 0;
  return { ...scope, ...(hosts.length > 0 && { hosts: [...hosts] }), ...(all && { all }), full, allowPrune };
}

function messageOf(operation: SyncOperation): string {
  const { phase, error, counts, revisions, unanswered } = operation;
  if (error) return error.message;
  if (phase === "Running" && revisions.length === 0) return "asks Git and the inventory";
  if (phase === "Running") return `${counts.attempted} of ${counts.total - counts.upToDate} hosts attempted`;
  return [outcomeOf(operation), ...new Set(unanswered.map(unansweredText))].join("; ");
}

function outcomeOf({ counts, unanswered, request }: SyncOperation): string {
  const sum = NOT_SYNCED.reduce((total, outcome) => total + counts[outcome], 0);
  if (sum > 0) return missing(counts, sum);
  if (counts.total === 0) return `no host was synced: the inventory has none ${concerned(request)}`;
  const about = unanswered.length > 0 ? "what Git had at its last good revision" : "what Git has";
  if (counts.total === counts.upToDate && unanswered.length === 0) {
    return `nothing to do: ${hostsText(counts.total)} had it already`;
  }
  const having = counts.total - counts.Gone;
  return `${hostsText(having)} ${having === 1 ? "has" : "have"} ${about}`;
}

const NOT_SYNCED = ["Failed", "Unreachable", "Held", "Suspended", "Drifted", "Waiting"] as const;

function missing(counts: OperationCounts, sum: number): string {
  const parts = NOT_SYNCED.filter((outcome) => counts[outcome] > 0);
  const told = parts.map((outcome) => `${counts[outcome]} ${outcome.toLowerCase()}`).join(", ");
  return `${sum} of ${hostsText(counts.total)} not synced: ${told}`;
}

function concerned({ scope = {}, hosts }: SyncRequest): string {
  return Object.keys(scope).length + hosts.length === 0 ? "at all" : "of what was named";
}

function unansweredText({ about, reason }: Unanswered): string {
  return `${about === "git" ? "Git" : "the inventory"} ${NOT_ASKED.has(reason) ? "could not be asked" : "gave no usable answer"}: ${reason}`;
}

const NOT_ASKED: ReadonlySet<Reason> = new Set<Reason>(["FetchFailed", "InventoryFailed"]);

function hostsText(count: number): string {
  return `${count} ${count === 1 ? "host" : "hosts"}`;
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
