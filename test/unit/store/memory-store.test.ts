import { statusStoreContract } from "../../contract/status-store.ts";
import { MemoryStatusStore } from "../../support/memory-store.ts";

statusStoreContract("memory", async () => new MemoryStatusStore());
