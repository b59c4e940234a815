import { transportContract } from "../../contract/transport.ts";
import { transportDriftContract } from "../../contract/transport-drift.ts";
import { transportFactory } from "../../support/transport-factory.ts";

const make = transportFactory({ client: "builtin", batches: false });

transportContract("the builtin client with plain rsync", make);
transportDriftContract("the builtin client with plain rsync", make);
