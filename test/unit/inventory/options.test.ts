import { expect, it } from "vitest";
import { createInventory } from "../../../src/inventory/create-inventory.ts";
import { ConfigRepo } from "../../../src/config/schema.ts";
import { pino } from "pino";
import { ManualClock } from "../../support/manual-clock.ts";

it("an inventory is made of what the configuration says about it, as it is", async () => {
  const { spec } = ConfigRepo.parse({
    apiVersion: "fssync.dev/v1alpha1",
    kind: "ConfigRepo",
    metadata: { name: "files" },
    spec: {
      git: { url: "https://git.example.com/files.git" },
      inventory: { http: { url: "http://cmdb.example.com/?app={app}", hosts: "data[].ip" } },
    },
  });
  const surroundings = {
    dir: "/nonexistent",
    clock: new ManualClock(),
    log: pino({ level: "silent" }),
    defaults: spec.ssh,
  };
  const inventory = createInventory(spec.inventory, surroundings);
  expect(inventory.watch).toBeUndefined();
  await inventory[Symbol.asyncDispose]();
});
