import { transportContract } from "../../contract/transport.ts";
import { transportCutsContract } from "../../contract/transport-cuts.ts";
import { transportDriftContract } from "../../contract/transport-drift.ts";
import { transportFactory } from "../../support/transport-factory.ts";

const way = { client: "openssh", batches: false } as const;
const make = transportFactory(way);

transportContract("OpenSSH with plain rsync", make);
transportDriftContract("OpenSSH with plain rsync", make);
transportCutsContract("OpenSSH with plain rsync", way);
