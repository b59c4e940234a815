/** A controller of its own, for a test that kills it: brings one host what its one argument says. */
import type { Host } from "../../src/model/host.ts";
import type { HostChange } from "../../src/ports/transport.ts";
import { transportFactory, type TransportWay } from "../support/transport-factory.ts";

export interface TransportChildOptions {
  readonly way: TransportWay;
  readonly dir: string;
  readonly secret: readonly [string, string][];
  readonly host: Host;
  readonly change: HostChange;
}

const { way, dir, secret, host, change } = JSON.parse(process.argv[2]!) as TransportChildOptions;
const keys = () => Promise.resolve(new Map(secret));
const transport = transportFactory(way)({ dir, secret: keys, hostKeys: "strict", connectTimeout: 5000 });
const prepared = await transport.prepare(change);
await transport.apply(host, prepared, { timeout: 60_000, signal: new AbortController().signal });
