const LONGEST = 100;

/** Something that a CMDB said, for a message: one line, escaped, short. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  const escaped = text.replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return escaped.length > LONGEST ? `${escaped.slice(0, LONGEST)}…` : escaped;
}
