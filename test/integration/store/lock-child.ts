/** Holds a data dir until it is killed; prints `held` or the refusal. */
import { lockDataDir } from "../../../src/store/data-dir-lock.ts";

try {
  await lockDataDir(process.argv[2]!);
  process.stdout.write("held\n");
  setInterval(() => {}, 60_000);
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
}
