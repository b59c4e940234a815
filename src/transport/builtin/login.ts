import { readFile } from "node:fs/promises";
import ssh2, { type AuthHandlerMiddleware } from "ssh2";
import { FssyncError } from "../../model/errors.ts";

/** Logs in with the private key in a file. Throws SecretInvalid. */
export async function fileLogin(file: string): Promise<() => AuthHandlerMiddleware> {
  const parsed = ssh2.utils.parseKey(await readFile(file));
  if (parsed instanceof Error) throw new FssyncError("SecretInvalid", parsed.message);
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  return () => {
    let tried = false;
    return (_methods, _partial, next) => {
      if (tried) return next(false as never);
      tried = true;
      next({ type: "publickey", username: "root", key } as never);
    };
  };
}
