import { transportContract } from "../../contract/transport.ts";
import { transportCutsContract } from "../../contract/transport-cuts.ts";
import { transportDriftContract } from "../../contract/transport-drift.ts";
import { transportFactory } from "../../support/transport-factory.ts";

const way = { client: "builtin", batches: false } as const;
const make = transportFactory(way);

transportContract("the builtin client with plain rsync", make);
transportDriftContract("the builtin client with plain rsync", make);
transportCutsContract("the builtin client with plain rsync", way);
