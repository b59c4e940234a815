import type { Host } from "../../model/host.ts";
import type { HostKeyAlgorithm } from "./algorithms.ts";

/** Which keys hosts may show. */
export interface HostKeys {
  /** Host key algorithms to ask the host for, best first: a key that is known can only be checked when the host shows it. */
  algorithms(host: Host): readonly HostKeyAlgorithm[];
  /** `key` in ssh's wire format. Throws HostKeyUnknown, HostKeyMismatch. */
  check(host: Host, key: Buffer): Promise<void>;
}
