import type { AppOnHost, DriftedFile, DriftOnHost, ReplacedFile } from "../../config/resources.ts";
import { byChange } from "../../plan/drift.ts";
import { fairShare, jsonBytes, shortened, storedBytes } from "./shorten.ts";

/** What a status may take of the API server's room; the object's metadata comes to it. */
const BUDGET = 97 * 1024;
/** Of that for all but the apps, whose messages and lists of files are cut to what is left. */
const BESIDES_APPS = 3 * 1024;
const LONGEST_MESSAGE = 1024;
/** No entry of a list takes less; most take twice that. */
const SMALLEST_ENTRY = 60;

type ChangedFile = DriftedFile | ReplacedFile;

/** Cuts messages and lists of files where there are so many that the object would get too large. */
export function withinBudget(apps: readonly AppOnHost[]): AppOnHost[] {
  if (!apps.some(({ message, drift }) => message !== undefined || drift !== undefined)) return [...apps];
  const room = BUDGET - BESIDES_APPS - jsonBytes(apps.map(bare));
  const lists = apps.reduce((sum, { drift }) => sum + listBytes(drift), 0);
  // Neither takes the room of the other, but for what the other leaves.
  const told = withShortMessages(apps, Math.max(Math.floor(room / 2), room - lists));
  const left = room - told.reduce((sum, { message = "" }) => sum + storedBytes(message), 0);
  return lists <= left ? told : withFewerFiles(told, left);
}

/** What of it is never cut. */
function bare({ message, drift, ...app }: AppOnHost): AppOnHost {
  return {
    ...app,
    ...(message !== undefined && { message: "" }),
    ...(drift && { drift: { ...drift, ...(drift.files && { files: [] }), ...(drift.replaced && { replaced: [] }) } }),
  };
}

function listBytes({ files = [], replaced = [] }: Partial<DriftOnHost> = {}): number {
  return entryBytes(files) + entryBytes(replaced);
}

/** Each with its comma. */
function entryBytes(entries: readonly ChangedFile[]): number {
  return entries.length === 0 ? 0 : jsonBytes(entries) - 1;
}

function withShortMessages(apps: readonly AppOnHost[], room: number): AppOnHost[] {
  const messages = apps.flatMap(({ message }) => message ?? []);
  const sizes = messages.map((message) => Math.min(storedBytes(message), LONGEST_MESSAGE));
  const share = Math.min(LONGEST_MESSAGE, fairShare(sizes, room));
  // API servers refuse empty texts now and then: what is empty is left out.
  return apps.map(({ message = "", ...app }) => {
    const cut = shortened(message, share);
    return cut === "" ? app : { ...app, message: cut };
  });
}

function withFewerFiles(apps: readonly AppOnHost[], room: number): AppOnHost[] {
  const kept = keptFiles(apps, room);
  return apps.map((app) => (app.drift ? { ...app, drift: onlyKept(app.drift, kept) } : app));
}

/** The count stays what it is. */
function onlyKept({ count, ...lists }: DriftOnHost, kept: ReadonlySet<ChangedFile>): DriftOnHost {
  const files = lists.files?.filter((file) => kept.has(file)) ?? [];
  const replaced = lists.replaced?.filter((file) => kept.has(file)) ?? [];
  return { count, ...(files.length > 0 && { files }), ...(replaced.length > 0 && { replaced }) };
}

/**
 * As many as there is room for. Every app has its turn before one has another: with its worst file that
 * differs, and with the newest of those that were laid over.
 */
function keptFiles(apps: readonly AppOnHost[], room: number): ReadonlySet<ChangedFile> {
  const drifts = apps.flatMap(({ drift }) => drift ?? []);
  const queues: readonly (readonly ChangedFile[])[] = [
    ...drifts.map(({ files = [] }) => files.toSorted(byChange)),
    ...drifts.map(({ replaced = [] }) => replaced.toReversed()),
  ];
  const turns = Math.max(0, ...queues.map(({ length }) => length));
  const kept = new Set<ChangedFile>();
  let left = room;
  for (let turn = 0; turn < turns && left >= SMALLEST_ENTRY; turn += 1) {
    for (const file of queues.flatMap((queue) => queue[turn] ?? []).sort(byChange)) {
      const size = entryBytes([file]);
      if (size > left) continue;
      kept.add(file);
      left -= size;
    }
  }
  return kept;
}
