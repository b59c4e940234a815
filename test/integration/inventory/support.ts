import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { type InventorySurroundings, createInventory } from "../../../src/inventory/create-inventory.ts";
import type { HttpLimits } from "../../../src/inventory/http-client.ts";
import type { InventoryOptions } from "../../../src/inventory/options.ts";
import { systemClock } from "../../../src/clock/system-clock.ts";
import type { AppKey } from "../../../src/model/app.ts";
import type { InventoryWorld, WorldHost } from "../../contract/inventory.ts";
import { Cmdb } from "../../support/cmdb.ts";

/** Short enough for tests, long enough for a busy machine. */
const SHORT: HttpLimits = { connectTimeout: 2000, idleTimeout: 1000, totalTimeout: 1500 };

export const TEMPLATE = "/api/hosts?mod={mod}&env={env}&app={app}";
/** What a user would write to shape this CMDB's objects. */
export const SHAPE = "data[].{address: ip, port: port, user: user, root: root}";

export function settings(kind: Partial<InventoryOptions>): InventoryOptions {
  return { envAliases: {}, maxShrinkPercent: 50, ...kind };
}

export async function newFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "fssync-inventory-"));
}

export function surroundings(dir: string, more: Partial<InventorySurroundings> = {}): InventorySurroundings {
  const log = pino({ level: "silent" });
  return { dir, clock: systemClock, log, defaults: { user: "root", port: 22 }, limits: SHORT, ...more };
}

/** A world whose CMDB is a real HTTP server. */
export async function httpWorld(kind: (url: string) => Partial<InventoryOptions>): Promise<InventoryWorld> {
  const cmdb = await Cmdb.start();
  const dir = await newFolder();
  let apps: AppKey[] = [];
  return {
    async set(hosts: Record<AppKey, readonly WorldHost[]>) {
      for (const app of apps) cmdb.set(app, []);
      apps = Object.keys(hosts) as AppKey[];
      for (const app of apps) cmdb.set(app, hosts[app]!);
    },
    async fail() {
      cmdb.behave({ status: 503 });
    },
    async open(options = {}) {
      return createInventory({ ...settings(kind(cmdb.url)), ...options }, surroundings(dir));
    },
    async [Symbol.asyncDispose]() {
      await cmdb[Symbol.asyncDispose]();
      await rm(dir, { recursive: true });
    },
  };
}
