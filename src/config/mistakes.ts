import type { z } from "zod";

/** One thing wrong with a document. */
export interface Mistake {
  readonly path: readonly (string | number)[];
  /** What stands there, as text; never a secret. */
  readonly shown: string;
  readonly expectation: string;
}

const LONGEST = 120;

/** Zod's issues as mistakes, in the words of the document. An unknown key is a mistake of its own each. */
export function mistakesOf(issues: readonly z.core.$ZodIssue[], document: unknown): Mistake[] {
  return issues.flatMap((issue) => fromIssue(issue, document));
}

/** A value in one short line, without credentials: scalars as JSON, of maps only the keys. */
export function show(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return shortened(`{${Object.keys(value).join(", ")}}`);
  return shortened(JSON.stringify(value).replaceAll(/\/\/[^/@\s"]*@/g, "//***@"));
}

/** `path: value — expectation` on one line. */
export function describeMistake({ path, shown, expectation }: Mistake): string {
  return path.length === 0 ? `${shown} — ${expectation}` : `${pathText(path)}: ${shown} — ${expectation}`;
}

function pathText(path: readonly (string | number)[]): string {
  return path.reduce<string>(
    (text, step) => (typeof step === "number" ? `${text}[${step}]` : text === "" ? step : `${text}.${step}`),
    "",
  );
}

function shortened(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

function fromIssue(issue: z.core.$ZodIssue, document: unknown): Mistake[] {
  const path = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  if (issue.code === "unrecognized_keys")
    // The value is not shown: what has no place here may well be a password.
    return issue.keys.map((key) => ({ path: [...path, key], shown: "unknown key", expectation: "" }));
  const nested = issue.code === "invalid_union" ? closestBranch(issue) : [];
  if (nested.length > 0)
    return nested.flatMap((inner) => fromIssue({ ...inner, path: [...path, ...inner.path] }, document));
  return [{ path, shown: show(valueAt(document, path)), expectation: issue.message }];
}

/** Of the branches of a union, the one that got further than its type: an object with a wrong key in it. */
function closestBranch(issue: z.core.$ZodIssueInvalidUnion): z.core.$ZodIssue[] {
  const inside = issue.errors.find((issues) =>
    issues.every((inner) => inner.path.length > 0 || inner.code === "unrecognized_keys"),
  );
  return inside ?? [];
}

/** Text for the issues that the schema has no words of its own for. */
export function expectationOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${article(String(issue.expected))}`;
    case "invalid_value":
      return `expected ${(issue.values as unknown[]).map(String).join(" or ")}`;
    case "too_small":
      return "expected at least one character";
    default:
      return "expected another value";
  }
}

function article(type: string): string {
  const names: Record<string, string> = { object: "a map", record: "a map", array: "a list", boolean: "true or false" };
  return names[type] ?? (/^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`);
}

function valueAt(document: unknown, path: readonly (string | number)[]): unknown {
  let value = document;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}
