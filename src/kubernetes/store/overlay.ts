import type { ResourceKind } from "../../config/resources.ts";
import type { ObjectRef, Resource } from "../objects.ts";
import { mergeJobs, type Make, type WriteJob } from "./write-job.ts";

/** What is still to be done to an object; the newest truth there is of it. */
export interface Waiting extends Pick<WriteJob, "remove" | "spec" | "status"> {
  readonly ref: ObjectRef;
  readonly make: Make | undefined;
}

/** What is not written yet, as of one moment. */
export interface Unwritten {
  readonly waiting: readonly Waiting[];
  /** Whether all objects like this one are to be removed. */
  removes(kind: ResourceKind, namespace: string, labels: Readonly<Record<string, string>> | undefined): boolean;
}

/** What is under way and what waits behind it, as one. */
export function bothJobs(running: WriteJob | null, waiting: WriteJob | null): WriteJob | null {
  return running !== null && waiting !== null ? mergeJobs(running, waiting) : (waiting ?? running);
}

/** The object as it will be when all is written; undefined when it will not be there. */
export function overlaid(object: Resource | undefined, waiting: Waiting | undefined): Resource | undefined {
  if (waiting === undefined) return object;
  const { remove, spec, status, make } = waiting;
  if (remove && spec === null && status === null) return undefined;
  const base = remove ? make?.() : (object ?? make?.());
  if (base === undefined) return undefined;
  return { ...base, spec: { ...fields(base.spec), ...spec }, status: patched(fields(base.status), status ?? {}) };
}

/** As the API server does it with what the store writes: null and undefined remove a key. */
function patched(status: object, patch: object): object {
  const merged = Object.entries({ ...status, ...patch });
  return Object.fromEntries(merged.filter(([, value]) => value !== null && value !== undefined));
}

function fields(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}
