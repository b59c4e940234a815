/** Saves record n = 1, 2, 3 … of a host and prints n after each save, until it is killed. */
import { hostRecordAt } from "./records.ts";
import { openStore } from "./support.ts";

const [file, limit = "Infinity"] = process.argv.slice(2);
const store = await openStore(file!);
for (let n = 1; n <= Number(limit); n += 1) {
  // Two hosts in one change: both or none may be there after a kill.
  const change = { hosts: new Map([hostRecordAt("a", n), hostRecordAt("b", n)]) };
  try {
    await store.save("files", change);
    process.stdout.write(`${n}\n`);
  } catch (error) {
    process.stdout.write(`${(error as { reason: string }).reason}\n`);
    break;
  }
}
