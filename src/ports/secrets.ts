import { FssyncError } from "../model/errors.ts";

/** A Secret that could be read, and holds nothing: what was in it before is taken back. */
export class SecretEmpty extends FssyncError {
  constructor(message: string) {
    super("SecretInvalid", message);
    this.name = "SecretEmpty";
  }
}

/** Secrets by the name that a `secretRef` gives: a folder of files, or a Kubernetes Secret. */
export interface Secrets {
  /** The keys and values as they are now. Throws SecretInvalid when there is no such secret, SecretEmpty when it has no keys. */
  read(name: string): Promise<ReadonlyMap<string, string>>;
}
