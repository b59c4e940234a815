import { readFile } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { ApiClient } from "../http/client/api-client.ts";
import { FssyncError } from "../model/errors.ts";
import type { ApiOptions } from "./api-options.ts";

/** Asks nobody yet. Throws InvalidSpec for a file that cannot be read and an address that cannot be used. */
export async function apiClient(server: string, { tokenFile, caFile }: ApiOptions): Promise<ApiClient> {
  const token = tokenFile === undefined ? process.env["FSSYNC_TOKEN"] : await read(tokenFile, "--token-file");
  const ca = caFile === undefined ? undefined : await read(caFile, "--ca-file");
  return new ApiClient({ server, token: token?.trim() || undefined, ca });
}

async function read(path: string, flag: string): Promise<string> {
  const file = isAbsolute(path) ? path : resolve(path);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new FssyncError("InvalidSpec", `${flag} ${path}: ${(error as Error).message}`, { cause: error });
  }
}
