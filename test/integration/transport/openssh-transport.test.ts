import { transportContract } from "../../contract/transport.ts";
import { transportDriftContract } from "../../contract/transport-drift.ts";
import { transportFactory } from "../../support/transport-factory.ts";

const make = transportFactory({ client: "openssh", batches: false });

transportContract("OpenSSH with plain rsync", make);
transportDriftContract("OpenSSH with plain rsync", make);
