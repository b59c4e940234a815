import { isAccountName } from "../model/host.ts";
import { records } from "./ls-tree.ts";

export const ATTRIBUTES = ["owner", "group", "mode", "filter", "secret"] as const;

/** What .gitattributes says of one file, as written there; what it does not say is absent. */
export type Attributes = Partial<Record<(typeof ATTRIBUTES)[number], string>>;

export interface Ownership {
  readonly owner: string;
  readonly group: string;
  /** Undefined: as Git has it. */
  readonly mode: number | undefined;
}

/** Parses `git check-attr -z`: `<path>\0<attribute>\0<value>\0` …, by path from the root of the repo. */
export function parseCheckAttr(output: Buffer): Map<string, Attributes> {
  const fields = records(output);
  const found = new Map<string, Attributes>();
  for (let at = 0; at + 2 < fields.length; at += 3) {
    const value = fields[at + 2]!;
    // `-owner` in .gitattributes takes an earlier line back.
    if (value === "unspecified" || value === "unset") continue;
    const path = fields[at]!;
    let attributes = found.get(path);
    if (attributes === undefined) found.set(path, (attributes = {}));
    attributes[fields[at + 1] as keyof Attributes] = value;
  }
  return found;
}

/** Owner, group and mode of a file, or in words what is wrong with them. */
export function ownership(attributes: Attributes, defaults: { owner: string; group: string }): Ownership | string {
  const { owner = defaults.owner, group = defaults.group, mode } = attributes;
  if (!isAccount(owner)) return `owner=${JSON.stringify(owner)} is no user name`;
  if (!isAccount(group)) return `group=${JSON.stringify(group)} is no group name`;
  if (mode !== undefined && !/^0?[0-7]{3}$/.test(mode)) {
    return `mode=${JSON.stringify(mode)} is no octal mode from 000 to 0777`;
  }
  return { owner, group, mode: mode === undefined ? undefined : Number.parseInt(mode, 8) };
}

/** A name, or a number as `chown` takes it. `owner` without a value reads as `set`, which is none. */
function isAccount(text: string): boolean {
  return (isAccountName(text) && text !== "set") || /^\d{1,10}$/.test(text);
}
