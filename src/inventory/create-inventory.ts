import { join } from "node:path";
import type { Logger } from "pino";
import { FssyncError } from "../model/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Inventory } from "../ports/inventory.ts";
import type { Secrets } from "../ports/secrets.ts";
import { FileSource } from "./file-source.ts";
import { GuardedInventory } from "./guarded-inventory.ts";
import type { HostDefaults } from "./host-entry.ts";
import { HttpClient, type HttpLimits } from "./http-client.ts";
import { HttpSdSource } from "./http-sd-source.ts";
import { HttpSource } from "./http-source.ts";
import { LastGood } from "./last-good.ts";
import type { InventoryOptions } from "./options.ts";
import type { Source } from "./source.ts";
import { StaticSource } from "./static-source.ts";

export interface InventorySurroundings {
  /** Folder for `inventory.json`, the last good answer; null keeps it in memory only. */
  readonly dir: string | null;
  /** Needed when the inventory has a secretRef; read anew at each refresh. */
  readonly secrets?: Secrets | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly defaults: HostDefaults;
  readonly limits?: HttpLimits;
}

/** The inventory that the configuration describes. It starts nothing. Throws InvalidSpec when it describes none. */
export function createInventory(options: InventoryOptions, surroundings: InventorySurroundings): Inventory {
  const { dir, clock, log, defaults } = surroundings;
  const { envAliases, maxShrinkPercent } = options;
  const lastGood = new LastGood({ file: dir && join(dir, "inventory.json"), clock, log });
  const source = createSource(options, surroundings);
  return new GuardedInventory({ source, lastGood, defaults, envAliases, maxShrinkPercent, clock });
}

function createSource(options: InventoryOptions, { clock, log, secrets, limits }: InventorySurroundings): Source {
  const { envAliases } = options;
  const client = () => new HttpClient({ clock, ...(limits !== undefined && { limits }) });
  if (options.http !== undefined)
    return new HttpSource({ options: options.http, envAliases, client: client(), secrets });
  if (options.httpSD !== undefined) return new HttpSdSource({ options: options.httpSD, client: client(), secrets });
  if (options.file !== undefined) return new FileSource({ path: options.file.path, clock, log });
  if (options.static !== undefined) return new StaticSource(options.static);
  throw new FssyncError("InvalidSpec", "the inventory has none of http, httpSD, file, static");
}
