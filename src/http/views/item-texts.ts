import type { AppItem, HostItem } from "../../reconcile/report-items.ts";

/** JSON of what `status` says of an item, after its first brace. An item that says something else is another object. */
const texts = new WeakMap<AppItem | HostItem, string>();

/** An app as lists have it. */
export function appText(item: AppItem): string {
  const { repo, suspended, lagSince, reasons } = item;
  return `${opened({ repo, suspended, lagSince, reasons })},${reportText(item)}`;
}

/** A host as lists have it. */
export function hostText(item: HostItem): string {
  const { repo, suspended } = item;
  return `${opened({ repo, suspended })},${reportText(item)}`;
}

/** Either as `status` has it. */
export function statusText(item: AppItem | HostItem): string {
  return `{${reportText(item)}`;
}

/** JSON of an object, still open. */
export function opened(object: object): string {
  return JSON.stringify(object).slice(0, -1);
}

function reportText(item: AppItem | HostItem): string {
  let text = texts.get(item);
  if (text === undefined) {
    // What JSON does not write is as good as not there.
    const report = { ...item, repo: undefined, suspended: undefined, lagSince: undefined, reasons: undefined };
    texts.set(item, (text = JSON.stringify(report).slice(1)));
  }
  return text;
}
