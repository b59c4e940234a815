import type { Client } from "ssh2";

/** What ssh2 1.17 has in a connection and does not show; none of it need be there. */
export interface Inside {
  /** Ours of an exchange of keys that goes on. */
  readonly _kexinit?: unknown;
  readonly _cipher?: object;
  readonly _decipher?: object;
}

export function inside(client: Client): Inside {
  return (client as { readonly _protocol?: Inside })._protocol ?? {};
}
