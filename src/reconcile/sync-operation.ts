import type { FssyncError, Reason } from "../model/errors.ts";
import { parseHostText, type HostKey } from "../model/host.ts";
import type { Problem } from "../model/record.ts";
import type { Revision } from "../model/revision.ts";
import type { EventSubject } from "../ports/events.ts";
import { suspendedMessage } from "../ports/suspender.ts";
import { concerns, type SyncPart, type SyncRequest } from "./controller.ts";
import { hostOutcome, OUTCOMES, standing, type Asked, type HostOutcome, type Outcome } from "./host-outcome.ts";
import type { Selection } from "./requests.ts";
import { heldBack, type LeftAlone } from "./left-alone.ts";
import { selectedHosts } from "./wishes.ts";

export interface OperationHost extends HostOutcome {
  readonly repo: string;
  readonly address: string;
  readonly port: number;
  readonly attempted: boolean;
}

/** What was not said, when it was asked for, of that which a sync is for. */
export interface Unanswered {
  readonly repo: string;
  readonly about: "git" | "inventory";
  readonly reason: Reason;
  readonly message: string;
}

/** Each host that is meant counts once: in `upToDate`, or by its outcome. */
export interface OperationCounts extends Readonly<Record<Outcome, number>> {
  readonly total: number;
  /** Had all of it, and nothing was to be done there. */
  readonly upToDate: number;
  readonly attempted: number;
}

/**
 * A sync that somebody asked for, as far as it is. Times are milliseconds since the epoch.
 *
 *     Running ──► every host was attempted once ──► Succeeded: each has what Git has
 *        │                                   └────► Failed: some have not, or Git or the inventory did not answer
 *        └──────► it could not be done, or this process ended ──► Failed, with an error
 */
export class SyncOperation {
  readonly id: string;
  readonly request: SyncRequest;
  readonly by: string;
  readonly createdAt: number;
  #finishedAt: number | null = null;
  #error: FssyncError | null = null;
  #revisions: readonly { readonly repo: string; readonly revision: Revision | null }[] = [];
  #problems: readonly (Problem & { readonly repo: string })[] = [];
  readonly #leftAlone: LeftAlone[] = [];
  #unanswered: readonly Unanswered[] = [];
  #total = 0;
  #attempted = 0;
  #results = 0;
  #hostsForgotten = false;
  readonly #counts = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
  readonly #hosts = new Map<string, OperationHost>();
  readonly #over = new AbortController();

  constructor({ id, request, by, createdAt }: Pick<SyncOperation, "id" | "request" | "by" | "createdAt">) {
    this.id = id;
    this.request = request;
    this.by = by;
    this.createdAt = createdAt;
  }

  /** Aborts when it is over. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  get finishedAt(): number | null {
    return this.#finishedAt;
  }

  get phase(): "Running" | "Succeeded" | "Failed" {
    if (this.#finishedAt === null) return "Running";
    return this.#error === null && this.#missing + this.#unanswered.length === 0 ? "Succeeded" : "Failed";
  }

  /** Why it was not done as a whole; what befell single hosts is told of them. */
  get error(): FssyncError | null {
    return this.#error;
  }

  /** What Git had when the hosts were queued. */
  get revisions() {
    return this.#revisions;
  }

  /** What was wrong with Git or inventories then: the last good answers were what it went by. */
  get problems() {
    return this.#problems;
  }

  /** Those of them that concern what was asked for: what the hosts have is not known to be what Git has. */
  get unanswered() {
    return this.#unanswered;
  }

  /** What people had suspended of it when the hosts were queued. */
  get leftAlone(): readonly LeftAlone[] {
    return this.#leftAlone;
  }

  get counts(): OperationCounts {
    const others = Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
    const upToDate = this.#total - others;
    return { total: this.#total, upToDate, attempted: this.#attempted, ...this.#counts };
  }

  /** Those on which there was something to do, or would have been but for people, or which differ all the same. */
  get hosts(): Iterable<OperationHost> {
    return this.#hosts.values();
  }

  get size(): number {
    return this.#hosts.size;
  }

  /** How much of it there is to keep: an entry for each app on a host, at least one a host. */
  get results(): number {
    return this.#results;
  }

  /** Takes in what it is for; from then on each host as it is attempted. */
  begin(parts: readonly SyncPart[]): void {
    const meant = parts.filter(({ repo, selection }) => concerns(repo, selection));
    this.#revisions = meant.map(({ repo }) => ({ repo: repo.repo, revision: repo.fleet.revision }));
    this.#problems = meant.flatMap(({ repo }) => repo.problems.map((problem) => ({ ...problem, repo: repo.repo })));
    this.#unanswered = meant.flatMap(unansweredOf);
    for (const part of meant) this.#follow(part);
    if (this.request.full) for (const { repo, selection } of meant) repo.resyncRequested(subjectOf(selection), this.by);
  }

  /** Whether only counts are left of its hosts. */
  get hostsForgotten(): boolean {
    return this.#hostsForgotten;
  }

  /** Once it is over. */
  forgetHosts(): void {
    this.#hostsForgotten = this.#hosts.size > 0;
    this.#hosts.clear();
    this.#results = 0;
  }

  /** What was not attempted by then was not. */
  finish(at: number, error: FssyncError | null = null): void {
    if (this.#finishedAt !== null) return;
    this.#finishedAt = at;
    this.#error = error;
    this.#over.abort();
  }

  get #missing(): number {
    const { Failed, Unreachable, Held, Waiting, Suspended, Drifted } = this.#counts;
    return Failed + Unreachable + Held + Waiting + Suspended + Drifted;
  }

  #follow({ repo, selection, operation }: SyncPart): void {
    const { fleet, suspension } = repo;
    const { full } = this.request;
    const digests = new Map([...fleet.desired].map(([app, { digest }]) => [app, digest]));
    const asked: Asked = { selection, full, digests };
    for (const host of selectedHosts(fleet, selection)) {
      if (!host.apps.some((app) => selection.apps?.has(app) !== false)) continue;
      this.#total += 1;
      const left = operation.hosts.has(host.key) ? undefined : standing({ fleet, suspension }, host, asked);
      if (left) this.#put(repo.repo, host.key, left);
    }
    for (const key of operation.hosts) this.#put(repo.repo, key, { outcome: "Waiting", state: "Pending", apps: [] });
    const held = heldBack(repo, selection, this.request);
    this.#leftAlone.push(...held.leftAlone);
    for (const [key, target] of held.hosts) {
      if (operation.hosts.has(key)) continue;
      const message = suspendedMessage(target);
      this.#put(repo.repo, key, { outcome: "Suspended", state: "Suspended", ...(message && { message }), apps: [] });
    }
    operation.onAttempted((key, _, done) =>
      this.#take(repo.repo, key, hostOutcome({ fleet, suspension }, key, asked, done)),
    );
  }

  #take(repo: string, key: HostKey, outcome: HostOutcome): void {
    if (this.#finishedAt !== null) return;
    this.#attempted += 1;
    this.#put(repo, key, outcome, true);
  }

  #put(repo: string, key: HostKey, outcome: HostOutcome, attempted = false): void {
    // A host's key has no space in it.
    const id = `${key} ${repo}`;
    const before = this.#hosts.get(id);
    if (before) this.#counts[before.outcome] -= 1;
    this.#counts[outcome.outcome] += 1;
    this.#results += weightOf(outcome) - (before ? weightOf(before) : 0);
    const { address, port = 22 } = before ?? parseHostText(key)!;
    this.#hosts.set(id, { repo, address, port, attempted, ...outcome });
  }
}

function unansweredOf({ repo, selection }: SyncPart): Unanswered[] {
  const git = repo.problemsOf("git").map((found) => ({ ...found, about: "git" as const }));
  const inventory = repo.inventoryFailures(selection.apps).map((found) => ({ ...found, about: "inventory" as const }));
  return [...git, ...inventory].map(({ about, reason, message }) => ({ repo: repo.repo, about, reason, message }));
}

function weightOf({ apps }: HostOutcome): number {
  return Math.max(1, apps.length);
}

/** The one object that is meant, or the repo. */
function subjectOf({ apps, hosts }: Selection): EventSubject {
  if (hosts?.size === 1) return { host: [...hosts][0]! };
  return apps?.size === 1 && !hosts ? { app: [...apps][0]! } : {};
}
