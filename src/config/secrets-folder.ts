import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { FssyncError } from "../model/errors.ts";
import { SecretEmpty, type Secrets } from "../ports/secrets.ts";
import { secretValue } from "./secret-value.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;
const LARGEST = 1024 * 1024;

/**
 * Secrets as `<folder>/<name>/<key>`: plain folders, or what Kubernetes mounts (`..data` symlinks).
 * Entries that begin with a dot are no keys. Read anew each time: secrets are rotated.
 */
export class SecretsFolder implements Secrets {
  readonly #folder: string;

  constructor({ folder }: { folder: string }) {
    this.#folder = folder;
  }

  async read(name: string): Promise<ReadonlyMap<string, string>> {
    if (!NAME.test(name)) throw new FssyncError("SecretInvalid", `${JSON.stringify(name)} is not the name of a Secret`);
    const folder = join(this.#folder, name);
    const keys = (await list(folder)).filter((entry) => !entry.startsWith(".")).sort();
    const values = new Map<string, string>();
    for (const key of keys) {
      const value = await readKey(join(folder, key));
      if (value === undefined) continue;
      values.set(key, secretValue(key, value));
    }
    if (values.size === 0) throw new SecretEmpty(`Secret ${name}: ${folder} holds no files, one a key`);
    return values;
  }
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const what = (error as NodeJS.ErrnoException).code === "ENOENT" ? "is missing" : reasonOf(error);
    throw new FssyncError("SecretInvalid", `the folder ${folder} ${what}`, { cause: error });
  }
}

/** Undefined for a folder: it is no key. */
async function readKey(file: string): Promise<string | undefined> {
  try {
    const value = await readFile(file, "utf8");
    if (value.length > LARGEST) throw new FssyncError("SecretInvalid", `the file ${file} is larger than 1 MiB`);
    return value;
  } catch (error) {
    if (error instanceof FssyncError) throw error;
    if ((error as NodeJS.ErrnoException).code === "EISDIR") return undefined;
    throw new FssyncError("SecretInvalid", `the file ${file} ${reasonOf(error)}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  return `cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`;
}
