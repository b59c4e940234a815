import type { Host } from "../../model/host.ts";

/** Which keys hosts may show. */
export interface HostKeys {
  /** Host key algorithms to ask the host for, best first: a key that is known can only be checked when the host shows it. */
  algorithms(host: Host): readonly string[];
  /** `key` in ssh's wire format. Throws HostKeyUnknown, HostKeyMismatch. */
  check(host: Host, key: Buffer): Promise<void>;
}
