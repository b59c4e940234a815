import { FssyncError, asFssyncError } from "../model/errors.ts";

/** Result codes of SQLite, the low byte of `errcode`. */
const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;

export function isCorruption(error: unknown): boolean {
  if (error instanceof FssyncError) return error.reason === "StoreCorrupt";
  const code = resultCode(error);
  return code === CORRUPT || code === NOT_A_DATABASE;
}

/** Any error of node:sqlite with a reason; `what` says what was tried. */
export function storeError(error: unknown, what: string): FssyncError {
  if (error instanceof FssyncError) return error;
  const message = `${what}: ${error instanceof Error ? error.message : String(error)}`;
  if (isCorruption(error)) return new FssyncError("StoreCorrupt", message, { cause: error });
  if (resultCode(error) === FULL) return new FssyncError("ControllerNoSpace", message, { cause: error });
  return new FssyncError(asFssyncError(error).reason, message, { cause: error });
}

function resultCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === "number" ? code & 0xff : undefined;
}
