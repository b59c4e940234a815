import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { createInventory } from "../../../src/inventory/create-inventory.ts";
import type { StaticGroup } from "../../../src/inventory/options.ts";
import { type AppId, parseAppKey } from "../../../src/model/app.ts";
import { type InventoryWorld, inventoryContract, labelledHosts } from "../../contract/inventory.ts";
import { SHAPE, TEMPLATE, httpWorld, newFolder, settings, surroundings } from "./support.ts";

inventoryContract(
  "http, one query per app",
  () => httpWorld((url) => ({ http: { url: `${url}${TEMPLATE}`, hosts: SHAPE } })),
  { guarded: true, objects: true },
);

inventoryContract(
  "http, one query for all",
  () => httpWorld((url) => ({ http: { url: `${url}/api/all`, hosts: "data" } })),
  {
    guarded: true,
    objects: true,
  },
);

inventoryContract(
  "httpSD",
  () => httpWorld((url) => ({ httpSD: { url: `${url}/sd`, labels: { mod: "mod", env: "env", app: "app" } } })),
  { guarded: true, objects: false },
);

inventoryContract("file", fileWorld, { guarded: true, objects: true });
inventoryContract("static", staticWorld, { guarded: false, objects: true });

async function fileWorld(): Promise<InventoryWorld> {
  const dir = await newFolder();
  const path = join(dir, "hosts.yaml");
  return {
    set: (hosts) => writeFile(path, stringify(labelledHosts(hosts))),
    fail: () => rm(path, { force: true }),
    open: async (options = {}) => createInventory({ ...settings({ file: { path } }), ...options }, surroundings(dir)),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true }),
  };
}

async function staticWorld(): Promise<InventoryWorld> {
  const dir = await newFolder();
  let groups: StaticGroup[] = [];
  return {
    async set(hosts) {
      groups = Object.entries(hosts).map(([key, list]) => ({ ...(parseAppKey(key) as AppId), hosts: list }));
    },
    open: async (options = {}) => createInventory({ ...settings({ static: groups }), ...options }, surroundings(dir)),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true }),
  };
}
