import { stringify } from "yaml";
import type { Output } from "./globals.ts";

/** Prints a result in the format that was asked for; `table` makes the one for people. */
export function print(
  stdout: NodeJS.WritableStream,
  output: Output,
  result: unknown,
  table: (wide: boolean) => string,
): void {
  if (output === "json") stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  else if (output === "yaml") stdout.write(stringify(result, { aliasDuplicateObjects: false }));
  else stdout.write(table(output === "wide"));
}
