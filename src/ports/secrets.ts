/** Secrets by the name that a `secretRef` gives: a folder of files, or a Kubernetes Secret. */
export interface Secrets {
  /** The keys and values as they are now. Throws SecretInvalid when there is no such secret. */
  read(name: string): Promise<ReadonlyMap<string, string>>;
}
