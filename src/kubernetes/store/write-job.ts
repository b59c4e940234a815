import type { Resource } from "../objects.ts";

/** What waits to be done to one object: first the removal, then the rest. */
export interface WriteJob {
  remove: boolean;
  /** Parts of the spec to patch. */
  spec: Readonly<Record<string, unknown>> | null;
  /** Parts of the status to patch; null and undefined remove a key. */
  status: Readonly<Record<string, unknown>> | null;
  /** The object is not there unless somebody else made it: it is created without asking first. */
  isNew: boolean;
  readonly waiters: Waiter[];
}

export interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** Called when the API server refuses what is waited for: it is tried on, but only a person can mend it. */
  readonly refused?: () => void;
}

/** An object with its spec, as it is made when it is not there; its status, if any, is patched onto it. */
export type Make = () => Resource<object, object>;

export function makeJob(part: Partial<Omit<WriteJob, "waiters">>): WriteJob {
  return { remove: false, spec: null, status: null, isNew: false, ...part, waiters: [] };
}

/** Both in one: what the newer one says holds, and everybody who waits for either waits for it. */
export function mergeJobs(older: WriteJob | null, newer: WriteJob): WriteJob {
  if (older === null) return newer;
  const waiters = [...older.waiters, ...newer.waiters];
  if (newer.remove) return { ...newer, waiters };
  return {
    remove: older.remove,
    spec: merged(older.spec, newer.spec),
    status: merged(older.status, newer.status),
    isNew: older.isNew || newer.isNew,
    waiters,
  };
}

function merged(a: WriteJob["status"], b: WriteJob["status"]): WriteJob["status"] {
  return a === null || b === null ? (b ?? a) : { ...a, ...b };
}

/** As a merge patch wants it: a key that shall go is null. */
export function patchOf(status: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(status).map(([key, value]) => [key, value ?? null]));
}
