import { transportContract } from "../../contract/transport.ts";
import { transportCutsContract } from "../../contract/transport-cuts.ts";
import { transportDriftContract } from "../../contract/transport-drift.ts";
import { transportFactory } from "../../support/transport-factory.ts";

const way = { client: "builtin", batches: true } as const;
const make = transportFactory(way);

transportContract("the builtin client with batches", make);
transportDriftContract("the builtin client with batches", make);
transportCutsContract("the builtin client with batches", way);
