import { statusStoreContract } from "../../contract/status-store.ts";
import { newFile, openStore } from "./support.ts";

statusStoreContract("sqlite", async () => openStore(await newFile()));
