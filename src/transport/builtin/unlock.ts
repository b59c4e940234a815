import { parentPort, workerData } from "node:worker_threads";
import { ssh2 } from "./ssh2.ts";

/** What the thread is given. */
export interface Locked {
  /** A private key in OpenSSH's format. */
  readonly text: string;
  readonly passphrase: string;
}

/** What it says: the key in PEM without a passphrase, or why not. */
export type Unlocked = { readonly pem: string } | { readonly fault: string };

/*
 * Main module of a thread. The format makes a second of work of every passphrase on purpose, and ssh2 does it without a
 * pause: nothing else would go on in this process.
 */
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort?.postMessage(unlock(workerData as Locked));

function unlock({ text, passphrase }: Locked): Unlocked {
  const key = ssh2.utils.parseKey(text, passphrase);
  return key instanceof Error ? { fault: key.message } : { pem: key.getPrivatePEM() };
}
